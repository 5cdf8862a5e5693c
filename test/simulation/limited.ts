import type { Runtime, Timer } from "../../tiers/runtime.ts"

/** The answer of a request that is not answered. */
export const NEVER = Symbol("never")

/** What `work` resolves with, or `late` after `limitMs`. */
export function limited<T>(
  runtime: Runtime,
  limitMs: number,
  late: Error,
  work: (isOver: () => boolean) => Promise<T | typeof NEVER>,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const timer: Timer = runtime.setTimer(() => {
      isOver = true
      reject(late)
    }, limitMs)
    work(() => isOver).then(
      (answer) => {
        if (answer === NEVER) return
        timer.cancel()
        resolve(answer)
      },
      (failure: unknown) => {
        timer.cancel()
        reject(failure)
      },
    )
  })
}
