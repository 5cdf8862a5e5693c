import type { Redis } from "ioredis"
import type { Timer } from "../runtime.ts"
import type { ClientTiming } from "./settings.ts"

/** Looks at the connections so many times within the time that a command may take. */
const CHECKS = 8
/** A connection that showed no sign of life at so many checks in a row is given up. */
const SILENT_CHECKS = 3

interface LifeSign {
  oldestCommand: unknown
  bytesRead: number
  checks: number
}

/**
 * Replaces connections that have gone dead without being closed: a command waits on them, and not a byte comes. Without
 * it every later command would wait for the kernel to give up, which takes a quarter of an hour. Looks only while there
 * are `connections` to look at; `watch` makes it look again.
 */
export function watchSilence(
  { runtime, timeoutMs }: ClientTiming,
  connections: () => readonly Redis[],
): { watch(): void; stop(): void } {
  let timer: Timer | undefined
  let signs = new WeakMap<object, LifeSign>()

  const check = () => {
    timer = undefined
    const watched = connections()
    if (watched.length === 0) {
      signs = new WeakMap()
      return
    }
    for (const { commandQueue, stream } of watched) {
      const oldestCommand = commandQueue.peekFront()
      if (oldestCommand === undefined || stream === undefined) continue
      const last = signs.get(stream)
      const { bytesRead } = stream
      const silent = last?.oldestCommand === oldestCommand && last.bytesRead === bytesRead
      const checks = silent ? last.checks + 1 : 0
      signs.set(stream, { oldestCommand, bytesRead, checks })
      if (checks >= SILENT_CHECKS)
        stream.destroy(new Error("the server has stopped answering on this connection"))
    }
    watch()
  }
  const watch = () => {
    timer ??= runtime.setTimer(check, timeoutMs / CHECKS)
  }
  return { watch, stop: () => timer?.cancel() }
}
