import fc from "fast-check"
import type { L1Options } from "../../src/api.ts"
import type { kv } from "../../src/index.ts"
import { memory } from "../../tiers/memory.ts"
import { testRuntime } from "../support/runtime.ts"
import { Caller, KEYS, type Step, type StepCall, threads, threadsOf, type World } from "./calls.ts"
import { mustBe, PromiseBroken } from "./history.ts"
import { type Faults, RacingTable, type ReadFault, WRITE_FAULTS, type WriteFault } from "./table.ts"

const TTL_MS = 50
const QUARANTINE_MS = 30
/** No call times out: the table itself does what an abandoned request may still do. */
const TIMEOUT_MS = 1_000_000
/** How far time moves when nothing else is left to wait for, ms. */
const IDLE_STEP_MS = 200
/** More than all waits between the attempts of a call. */
const MAX_IDLE_MS = 20_000

export type Open = typeof kv

/** What to race, and over what. */
export interface Focus {
  /** These kinds of call, on one key. @default a few kinds, other ones in each race, on two keys */
  readonly calls?: readonly StepCall[]
  /** The faults of the first few writes. @default anything */
  readonly fault?: WriteFault
  /** Whether the table gets the retries and the batching of a backend over a network. @default false */
  readonly networked?: boolean
}

/** The settings of L1, one of them in each race. Tiny ones evict at any moment. */
const l1: fc.Arbitrary<L1Options | false> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<L1Options>({}) },
  { weight: 2, arbitrary: fc.constant<L1Options>({ maxEntries: 1 }) },
  { weight: 1, arbitrary: fc.constant<L1Options>({ maxBytes: 1 }) },
  { weight: 1, arbitrary: fc.constant<L1Options>({ negativeTtlMs: 0 }) },
  { weight: 1, arbitrary: fc.constant<false>(false) },
)

/** Of every kind, or of one kind alone. */
const faults: fc.Arbitrary<Faults> = fc.record({
  writes: fc.oneof(
    fc.array(fc.constantFrom<WriteFault[]>("pass", "pass", "pass", ...WRITE_FAULTS), { maxLength: 8 }),
    fc.constantFrom(...WRITE_FAULTS).map((fault) => Array<WriteFault>(4).fill(fault)),
  ),
  reads: fc.array(fc.constantFrom<ReadFault[]>("pass", "pass", "pass", "fail"), { maxLength: 8 }),
})

/**
 * Threads of calls on one client, whose requests and replies, aborts and late writes come in any order; other processes
 * write to the same table. After each event the promises of the two tiers are checked; a broken one rejects.
 */
export function race(open: Open, { calls, fault, networked = false }: Focus = {}) {
  const steps = calls === undefined ? threads : threadsOf(calls, ["a"])
  const befalls = fault === undefined ? faults : fc.constant({ writes: Array(4).fill(fault), reads: [] })
  return fc.asyncProperty(fc.scheduler(), steps, l1, befalls, async (scheduler, threads, l1, faults) => {
    const runtime = testRuntime(1_000_000)
    const times = { ttlMs: TTL_MS, quarantineMs: QUARANTINE_MS }
    const table = new RacingTable(scheduler, runtime, faults, times, networked)
    const client = await open("race", {
      backend: table.backend,
      runtime,
      quarantineMs: QUARANTINE_MS,
      timeoutMs: TIMEOUT_MS,
      l1: l1 === false ? false : { ttlMs: TTL_MS, negativeTtlMs: TTL_MS, jitter: 0.2, ...l1 },
    })
    let texts = 0
    const world: World = {
      client,
      table,
      runtime,
      pause: (label) => scheduler.schedule(Promise.resolve(), label),
      texts: () => `v${++texts}`,
      loads: new Map(),
      acknowledged: new Map(),
      moving: Promise.resolve(),
      broken: undefined,
    }
    table.onPut = (key, text) => {
      const since = world.loads.get(text)
      if (since !== undefined && since < (world.acknowledged.get(key) ?? 0)) {
        world.broken ??= new PromiseBroken(
          `${key}=${text} was loaded, and is stored, though the key was written meanwhile`,
        )
      }
    }
    await settleRace(
      scheduler,
      world,
      threads.map((steps) => runThread(world, steps)),
    )
    await rest(scheduler, world)
  })
}

async function runThread(world: World, steps: readonly Step[]): Promise<void> {
  const caller = new Caller(world)
  for (const step of steps) {
    await world.pause(step.call)
    await caller.run(step)
  }
}

/**
 * Runs one event after the other and checks L1 after each, until the threads and the calls that they abandoned have ended.
 */
async function settleRace(scheduler: fc.Scheduler, world: World, threads: Promise<void>[]): Promise<void> {
  let failure: { error: unknown } | undefined
  let running = threads.length
  let idleMs = 0
  for (const thread of threads) {
    thread.catch((error: unknown) => (failure ??= { error })).finally(() => running--)
  }
  for (;;) {
    await turn()
    if (failure !== undefined) throw failure.error
    if (world.broken !== undefined) throw world.broken
    checkL1(world)
    if (scheduler.count() > 0) await scheduler.waitNext(1)
    else if (running === 0 && world.client.stats().inFlight === 0) return
    else if (idleMs > MAX_IDLE_MS) throw new PromiseBroken(`${running} calls never came to an end`)
    else {
      idleMs += IDLE_STEP_MS
      await world.runtime.advance(IDLE_STEP_MS)
    }
    await world.moving
  }
}

function checkL1({ client, table }: World): void {
  for (const key of KEYS) {
    const text = client.peekText(key)
    if (text === undefined) continue
    if (table.isFenced(key))
      throw new PromiseBroken(`L1 holds ${key}=${text}, though a write of it may still land`)
    table.history.held(key, text)
  }
}

/** When all calls, quarantines and times to live have ended, the tiers agree and nothing is in flight. */
async function rest(scheduler: fc.Scheduler, world: World): Promise<void> {
  const { client, table, runtime } = world
  table.calm()
  await settleRace(scheduler, world, [Promise.all(KEYS.map((key) => client.getText(key))).then(() => {})])
  await runtime.advance(QUARANTINE_MS + TTL_MS)
  const values = Promise.all(KEYS.map((key) => client.getText(key)))
  await settleRace(scheduler, world, [values.then(() => {})])
  mustBe(
    "values at rest",
    await values,
    KEYS.map((key) => table.history.live(key)),
  )
  const loaded = Promise.all(KEYS.map((key) => client.getOrSet(key, () => "loaded", { as: "text" })))
  await settleRace(scheduler, world, [loaded.then(() => {})])
  mustBe(
    "values loaded at rest",
    await loaded,
    (await values).map((text) => text ?? "loaded"),
  )
  const { inFlight, quarantined } = client.stats()
  mustBe("what is left", { inFlight, quarantined }, { inFlight: 0, quarantined: 0 })
  await client.close()
}

/** Lets promises settle: nothing here waits for anything but promises and the scheduler. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * One client over a backend whose reads may lag behind the writes that it acknowledged, as a replica does: what L1 holds
 * is never older than what this process wrote, and was told so.
 */
export function lag(open: Open) {
  const steps = fc.array(
    fc.oneof(
      fc.constant({ call: "set" as const }),
      fc.record({ call: fc.constant("get" as const), behind: fc.nat(3) }),
    ),
    { maxLength: 20 },
  )
  return fc.asyncProperty(steps, async (steps) => {
    const runtime = testRuntime(1_000_000)
    const table = memory({ runtime })
    const past: Awaited<ReturnType<typeof table.get>>[] = []
    let behind = 0
    const client = await open("lag", {
      backend: { ...table, get: () => past.at(-1 - behind) },
      runtime,
    })
    let written = 0
    for (const step of steps) {
      if (step.call === "set") {
        await client.set("a", `${++written}`)
        past.push(await table.get("a"))
      } else {
        behind = step.behind
        await client.get("a")
      }
      const held = client.peekText("a")
      if (held !== undefined && Number(held) < written)
        throw new PromiseBroken(`L1 holds ${held}, not ${written}`)
    }
    await client.close()
  })
}
