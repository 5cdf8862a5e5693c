import fc from "fast-check"
import { describe, test } from "vitest"
import { kv } from "../../src/index.ts"
import { lag, outage, pages } from "./properties.ts"
import { race } from "./race.ts"

/** As many runs, such a seed, and such a path into it, as the environment asks for. A failure prints the seed and the path that repeat it. */
const numRuns = wholeNumber("RACE_RUNS") ?? 500
const seed = wholeNumber("RACE_SEED")
const path = process.env.RACE_PATH

/** fast-check would run for ever with a number of runs that is not whole. */
function wholeNumber(variable: string): number | undefined {
  const text = process.env[variable]
  if (text === undefined) return undefined
  const number = Number(text)
  if (!Number.isSafeInteger(number)) throw new Error(`${variable} is not a whole number: ${text}`)
  return number
}

describe("no promise of the two tiers is broken", () => {
  const runs = (numRuns: number) => ({
    numRuns,
    ...(seed === undefined ? {} : { seed }),
    ...(path === undefined ? {} : { path }),
  })

  test(`in ${numRuns} races over a backend in the process`, { timeout: 0 }, async () => {
    await fc.assert(race(kv), runs(numRuns))
  })

  test(`in ${numRuns} races over a network, with retries and coalesced reads`, {
    timeout: 0,
  }, async () => {
    await fc.assert(race(kv, { networked: true }), runs(numRuns))
  })

  test("by what L1 holds, however far the backend's reads lag behind its writes", async () => {
    await fc.assert(lag(kv), runs(Math.min(300, numRuns)))
  })

  test("by the requests that a store sends in an outage", async () => {
    await fc.assert(outage(kv), runs(20))
  })

  test("by what many pages leave behind", async () => {
    await fc.assert(pages(kv), { numRuns: 1 })
  })
})
