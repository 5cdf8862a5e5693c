import type { Runtime } from "../runtime.ts"

/**
 * Settles as `answer` does, or rejects with what `late` makes if `limitMs` pass first. A later answer, or a later
 * failure, is then ignored. One timer an answer: about 0.16 µs of Node's own, too little to share timers for.
 */
export function within<T>(
  runtime: Runtime,
  answer: Promise<T>,
  limitMs: number,
  late: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = runtime.setTimer(() => reject(late()), limitMs)
    answer.then(
      (value) => {
        timer.cancel()
        resolve(value)
      },
      (error: unknown) => {
        timer.cancel()
        reject(error)
      },
    )
  })
}
