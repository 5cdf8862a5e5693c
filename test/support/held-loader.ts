import type { LoadContext } from "../../src/api.ts"

/** Loaders whose ends the test decides, the oldest first. */
export function heldLoader() {
  const ends: { resolve: (value: string | undefined) => void; reject: (error: Error) => void }[] = []
  const signals: AbortSignal[] = []
  let running = 0
  let most = 0
  const load = ({ signal }: LoadContext) => {
    most = Math.max(most, ++running)
    signals.push(signal)
    return new Promise<string | undefined>((resolve, reject) => ends.push({ resolve, reject })).finally(
      () => running--,
    )
  }
  return {
    load,
    /** The signals of all calls so far. */
    signals,
    end: (value: string | undefined) => ends.shift()?.resolve(value),
    fail: (error: Error) => ends.shift()?.reject(error),
    /** Calls that have not been told to end. */
    get calls() {
      return ends.length
    },
    /** The most calls that ran at once. */
    get most() {
      return most
    },
  }
}
