import type { Redis } from "ioredis"
import type { Timer } from "../runtime.ts"
import type { ClientTiming } from "./settings.ts"

/** Number of checks within the longest time of a command. */
const CHECKS = 8
/** A connection that received no byte between this number of consecutive checks is closed. */
const SILENT_CHECKS = 3

interface LifeSign {
  oldestCommand: unknown
  bytesRead: number
  checks: number
}

/**
 * Closes connections that are dead but not closed: a command waits, and no byte arrives. Otherwise every later command would wait until the
 * kernel gives up, about 15 minutes. Checks only while `connections` returns any; `watch` starts the checks again.
 */
export function watchSilence(
  { runtime, requestTimeoutMs }: ClientTiming,
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
    timer ??= runtime.setTimer(check, requestTimeoutMs / CHECKS)
  }
  return { watch, stop: () => timer?.cancel() }
}
