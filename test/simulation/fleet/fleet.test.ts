import { expect, test } from "vitest"
import { kv } from "../../../src/index.ts"
import { type Outcome, run } from "./run.ts"

/** As many events, from such a seed on, as the environment asks for. A failure prints the seed that repeats it. */
const EVENTS = wholeNumber("FLEET_EVENTS") ?? 200_000
const SEED = wholeNumber("FLEET_SEED") ?? 1
const NAMES = ["events", "hits", "reads", "suspects", "revalidations", "gaps"] as const
const REPORT_EVERY_MS = 10_000

function wholeNumber(variable: string): number | undefined {
  const text = process.env[variable]
  if (text === undefined) return undefined
  const number = Number(text)
  if (!Number.isSafeInteger(number)) throw new Error(`${variable} is not a whole number: ${text}`)
  return number
}

test(`no promise of the bus is broken in fleets from the seed ${SEED} on`, { timeout: 0 }, async () => {
  const total: Outcome = { events: 0, hits: 0, reads: 0, suspects: 0, revalidations: 0, gaps: 0 }
  const startedAt = performance.now()
  let reportedAt = startedAt
  let seed = SEED
  const state = () => {
    const perSecond = Math.round((1_000 * total.events) / (performance.now() - startedAt))
    const share = Math.min(100, Math.floor((100 * total.events) / EVENTS))
    return `${share} %: ${total.events} events in the fleets ${SEED} to ${seed}, ${perSecond} a second`
  }
  for (; total.events < EVENTS; seed++) {
    const outcome = await run(kv, seed)
    for (const name of NAMES) total[name] += outcome[name]
    if (performance.now() - reportedAt < REPORT_EVERY_MS) continue
    reportedAt = performance.now()
    process.stdout.write(`${state()}\n`)
  }
  const ratio = total.hits / total.reads
  process.stdout.write(
    `${state()}; hit ratio ${ratio.toFixed(2)}, ${total.suspects} suspects, ${total.revalidations} confirmed, ${total.gaps} gaps\n`,
  )
  expect(ratio).toBeGreaterThan(0.6)
})
