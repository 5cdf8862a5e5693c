import fc from "fast-check"
import { test } from "vitest"
import { kv } from "../../src/index.ts"
import { lag, race } from "./race.ts"

/** As many runs, and such a seed, as the environment asks for: a nightly run may ask for more. */
const numRuns = Number(process.env.RACE_RUNS ?? 1_200)
const seed = process.env.RACE_SEED === undefined ? {} : { seed: Number(process.env.RACE_SEED) }

test(`no promise is broken in ${numRuns} races`, { timeout: 0 }, async () => {
  await fc.assert(race(kv), { numRuns, ...seed })
})

test(`nor in ${numRuns / 3} over a network, where calls are tried again and reads travel together`, {
  timeout: 0,
}, async () => {
  await fc.assert(race(kv, { networked: true }), { numRuns: numRuns / 3, ...seed })
})

test("nothing older than what was acknowledged stays in L1, however the backend's reads lag", async () => {
  await fc.assert(lag(kv), { numRuns: 300 })
})
