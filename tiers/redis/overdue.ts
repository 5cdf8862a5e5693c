import type { Redis } from "ioredis"
import type { Runtime, Timer } from "../runtime.ts"

/** Number of checks within the time that a connection may take for its oldest command. */
const CHECKS = 8

interface Oldest {
  command: unknown
  /** When it was first seen as the oldest, on the monotonic clock. */
  since: number
}

export interface OverdueWatch {
  /** Starts the checks, which end when there are no connections to check. */
  watch(): void
  /** Closes the connections whose oldest command has been the oldest for `limitMs`, as far as the checks can tell. */
  closeAfter(limitMs: number): void
  stop(): void
}

/**
 * Closes connections on which the oldest command is not answered in time, whether or not bytes arrive. Redis answers in order, so
 * that no later command would be answered either until the kernel gives the connection up, after about 15 minutes.
 *
 * @param connections the connections to check, each with the longest time of its oldest command
 * @param shortestMs the shortest such time
 */
export function watchOverdue(
  runtime: Runtime,
  shortestMs: number,
  connections: () => readonly (readonly [Redis, limitMs: number])[],
): OverdueWatch {
  const intervalMs = shortestMs / CHECKS
  let oldest = new WeakMap<object, Oldest>()
  let timer: Timer | undefined

  const check = () => {
    timer = undefined
    const watched = connections()
    if (watched.length === 0) {
      oldest = new WeakMap()
      return
    }
    for (const [{ commandQueue, stream }, limitMs] of watched) {
      const command = commandQueue.peekFront()
      if (command === undefined || stream === undefined) continue
      const last = oldest.get(stream)
      if (last?.command !== command) oldest.set(stream, { command, since: runtime.monotonic() })
      else if (runtime.monotonic() - last.since >= limitMs) closeNow(stream)
    }
    watch()
  }
  const watch = () => {
    timer ??= runtime.setTimer(check, intervalMs)
  }
  return {
    watch,
    closeAfter(limitMs) {
      for (const [{ commandQueue, stream }] of connections()) {
        const last = stream && oldest.get(stream)
        if (last === undefined || last.command !== commandQueue.peekFront()) continue
        // It may have been sent an interval before it was seen, and a check may be late.
        if (runtime.monotonic() - last.since >= limitMs - 2 * intervalMs) closeNow(stream)
      }
    },
    stop: () => timer?.cancel(),
  }
}

/**
 * Closes the connection by a reset, so that the kernel discards what it has not delivered yet. After an ordinary close it would go on
 * trying to deliver it. Over TLS, for which Node has no reset, it is an ordinary close.
 */
export function closeNow(stream: Redis["stream"]): void {
  if (stream.destroyed) return
  if (stream.connecting || "encrypted" in stream) stream.destroy(new Error(NO_ANSWER))
  else stream.resetAndDestroy()
}

export const NO_ANSWER = "the server has stopped answering on this connection"
