import fc from "fast-check"
import { describe, test } from "vitest"
import { kv } from "../../src/index.ts"
import { lag, race } from "./race.ts"

/** As many runs, and such a seed, as the environment asks for: a nightly run may ask for more. */
const numRuns = wholeNumber("RACE_RUNS") ?? 1_200
const seed = wholeNumber("RACE_SEED")

/** fast-check would run for ever with a number of runs that is not whole. */
function wholeNumber(variable: string): number | undefined {
  const text = process.env[variable]
  if (text === undefined) return undefined
  const number = Number(text)
  if (!Number.isSafeInteger(number)) throw new Error(`${variable} is not a whole number: ${text}`)
  return number
}

describe("no promise of the two tiers is broken", () => {
  const runs = (numRuns: number) => ({ numRuns, ...(seed === undefined ? {} : { seed }) })
  const overNetwork = Math.ceil(numRuns / 3)

  test(`in ${numRuns} races over a backend in the process`, { timeout: 0 }, async () => {
    await fc.assert(race(kv), runs(numRuns))
  })

  test(`in ${overNetwork} races over a network, with retries and coalesced reads`, {
    timeout: 0,
  }, async () => {
    await fc.assert(race(kv, { networked: true }), runs(overNetwork))
  })

  test("by what L1 holds, however far the backend's reads lag behind its writes", async () => {
    await fc.assert(lag(kv), runs(300))
  })
})
