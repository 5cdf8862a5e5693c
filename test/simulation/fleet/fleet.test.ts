import { expect, test } from "vitest"
import { kv } from "../../../src/index.ts"
import { type Outcome, run } from "./run.ts"

/** As many runs, from such a seed on, as the environment asks for. A failure prints the seed that repeats it. */
const RUNS = Number(process.env.FLEET_RUNS ?? 40)
const SEED = Number(process.env.FLEET_SEED ?? Math.floor(Math.random() * 1e9))

test(`no promise of the bus is broken in ${RUNS} fleets from the seed ${SEED} on`, {
  timeout: 0,
}, async () => {
  const total: Outcome = { events: 0, hits: 0, reads: 0, suspects: 0, revalidations: 0, gaps: 0 }
  const startedAt = performance.now()
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    const outcome = await run(kv, seed)
    for (const name of ["events", "hits", "reads", "suspects", "revalidations", "gaps"] as const) {
      total[name] += outcome[name]
    }
  }
  const seconds = (performance.now() - startedAt) / 1_000
  const ratio = total.hits / total.reads
  process.stdout.write(
    `${RUNS} fleets from the seed ${SEED} on: ${total.events} events, ${Math.round(total.events / seconds)} a second, ` +
      `hit ratio ${ratio.toFixed(2)}, ${total.suspects} suspects, ${total.revalidations} confirmed, ${total.gaps} gaps\n`,
  )
  expect(ratio).toBeGreaterThan(0.6)
})
