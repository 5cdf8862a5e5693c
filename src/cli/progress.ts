import type { Io } from "./io.ts"

export interface Progress {
  /** Reports how much of the total is done. `note` is shown after the bar. */
  update(done: number, note: string): void
  stop(): void
}

const BAR_WIDTH = 30
/** Shortest time between two drawings, ms. */
const REDRAW_MS = 100
/** Erases from the cursor to the end of the line. */
const ERASE = "\u001B[K"

/** A progress bar on standard error, if that is a terminal. Without a total it shows only the note. */
export function progressBar({ stderr }: Io, title: string, total: number | undefined): Progress {
  if (!stderr.isTTY) return { update() {}, stop() {} }
  let drawnAt = Number.NEGATIVE_INFINITY
  return {
    update(done, note) {
      const now = performance.now()
      if (now - drawnAt < REDRAW_MS) return
      drawnAt = now
      const line = total === undefined ? `${title}  ${note}` : `${title}  ${barOf(done / total)}  ${note}`
      // A longer line would wrap, and the next drawing would leave its beginning behind.
      stderr.write(`\r${line.slice(0, (stderr.columns ?? 80) - 1)}${ERASE}`)
    },
    stop: () => void stderr.write(`\r${ERASE}`),
  }
}

function barOf(share: number): string {
  const done = Math.min(Math.max(share, 0), 1)
  const full = Math.round(done * BAR_WIDTH)
  return `${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)} ${Math.floor(done * 100)} %`
}
