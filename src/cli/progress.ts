import { SingleBar } from "cli-progress"
import type { Io } from "./io.ts"

export interface Progress {
  /** Reports how much of the total is done. `note` is shown after the bar. */
  update(done: number, note: string): void
  stop(): void
}

/** A progress bar on standard error, if that is a terminal. Without a total it shows only the note. */
export function progressBar(io: Io, title: string, total: number | undefined): Progress {
  if (!io.stderr.isTTY) return { update() {}, stop() {} }
  const bar = new SingleBar({
    format: total === undefined ? `${title}  {note}` : `${title}  {bar} {percentage} %  {note}`,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 30,
    stream: io.stderr,
    clearOnComplete: true,
    hideCursor: true,
    fps: 10,
  })
  // The bar hides the cursor; a process that exits meanwhile has to show it again.
  const stop = () => {
    process.off("exit", stop)
    bar.stop()
  }
  process.once("exit", stop)
  bar.start(total ?? 0, 0, { note: "" })
  return { update: (done, note) => bar.update(done, { note }), stop }
}
