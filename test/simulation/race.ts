import fc from "fast-check"
import type { Kv, L1Options } from "../../src/api.ts"
import type { kv } from "../../src/index.ts"
import { testRuntime } from "../support/runtime.ts"
import { Caller, type Process, type World } from "./caller.ts"
import { isRead, KEYS, type Step, type StepCall, threads, threadsOf } from "./calls.ts"
import { mustBe, PromiseBroken, Seen } from "./history.ts"
import { type Faults, Link, READ_FAULTS, type ReadFault, WRITE_FAULTS, type WriteFault } from "./link.ts"
import { type Service, Table } from "./table.ts"

const TTL_MS = 50
const TIMEOUT_MS = 400
/** Over a network, longer than a call. */
const QUARANTINE_MS = { bare: 30, networked: 600 }
const SLOW_MS = 150
/** How far time moves when nothing else is left to wait for, ms. */
const IDLE_STEP_MS = 20
/** More than all waits between the attempts of a call, and than `close` waits. */
const MAX_IDLE_MS = 20_000

export type Open = typeof kv

/** What to race, and over what. */
export interface Focus {
  /** These kinds of call, on one key, in one process. @default a few kinds, other ones in each race, on two keys, in up to three */
  readonly calls?: readonly StepCall[]
  /** The faults of the first few writes; then reads have none. @default anything */
  readonly fault?: WriteFault | readonly WriteFault[]
  /** Whether each process has a second store over the same rows. @default some have */
  readonly siblings?: boolean
  /** Whether the table gets the retries and the batching of a backend over a network. @default false */
  readonly networked?: boolean
}

/** What a race is run in. */
interface Setting {
  readonly service: Service
  readonly synchronous: boolean
  /** Of each process. */
  readonly faults: readonly Faults[]
  readonly l1: readonly (L1Options | false)[]
  /** The second store of each process that has one. */
  readonly sibling: readonly (L1Options | false | undefined)[]
  readonly maxConcurrency: number
  readonly retryBudget: number
}

/** The settings of L1, one of them in each process. Tiny ones evict at any moment. */
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
  reads: fc.array(fc.constantFrom<ReadFault[]>("pass", "pass", "pass", "pass", ...READ_FAULTS), {
    maxLength: 8,
  }),
})

function settings({ calls, fault, networked = false, siblings }: Focus): fc.Arbitrary<Setting> {
  const writes = typeof fault === "string" ? Array<WriteFault>(4).fill(fault) : fault
  const befalls = writes === undefined ? faults : fc.constant<Faults>({ writes, reads: [] })
  const sibling =
    siblings === undefined && calls === undefined
      ? fc.option(l1, { nil: undefined, freq: 3 })
      : siblings
        ? l1
        : fc.constant(undefined)
  return fc.constantFrom(1, ...(calls === undefined ? [1, 2, 3] : [])).chain((count) => {
    const each = { minLength: count, maxLength: count }
    return fc.record({
      service: fc.record({
        networked: fc.constant(networked),
        ordered: networked ? fc.boolean() : fc.constantFrom(true, true, false),
        clock: fc.boolean(),
      }),
      synchronous: networked ? fc.constant(false) : fc.nat(5).map((chance) => chance === 0),
      faults: fc.array(befalls, each),
      l1: fc.array(l1, each),
      sibling: fc.array(sibling, each),
      maxConcurrency: fc.constantFrom(256, 256, 2, 1),
      retryBudget: fc.constantFrom(1, 0.1, 0),
    })
  })
}

/**
 * Threads of calls on the clients of a few processes, whose requests and replies, aborts and late writes come in any order; another program
 * writes to the same table. After each event the promises of the tiers are checked; a broken one rejects.
 */
export function race(open: Open, focus: Focus = {}) {
  const steps = focus.calls === undefined ? threads : threadsOf(focus.calls, ["a"])
  return fc.asyncProperty(fc.scheduler(), steps, settings(focus), async (scheduler, threads, setting) => {
    const runtime = testRuntime(1_000_000)
    const table = new Table(runtime, setting.service)
    let texts = 0
    const calls = threads.flat().map(({ call }) => call)
    const isQuiet = setting.faults.every(({ writes }) => writes.every((fault) => fault === "pass"))
    const world: World = {
      table,
      runtime,
      pause: (label) => scheduler.schedule(Promise.resolve(), label),
      // Every second one is more than ASCII.
      texts: () => (++texts % 2 === 0 ? `v${texts}` : `ü${texts}☃𝕜`),
      tokens: new Map(),
      timeoutMs: setting.service.networked ? TIMEOUT_MS : undefined,
      quarantineMs: setting.service.networked ? QUARANTINE_MS.networked : QUARANTINE_MS.bare,
      onlyLoads:
        setting.l1.length === 1 && setting.sibling[0] === undefined && isQuiet && calls.every(isRead),
      moving: Promise.resolve(),
    }
    const processes: Process[] = []
    for (const [index, l1] of setting.l1.entries()) {
      const process = await start(open, world, scheduler, setting, l1, setting.faults[index])
      processes.push(process)
      const sibling = setting.sibling[index]
      if (sibling !== undefined) processes.push(await openBeside(process, open, world, setting, sibling))
    }
    const running = threads.map((steps, index) => {
      const process = processes[index % processes.length]
      if (process === undefined) throw new Error("there is no process")
      return runThread(world, new Caller(world, process), steps)
    })
    await settleRace(scheduler, world, processes, running)
    await rest(scheduler, world, processes)
  })
}

async function start(
  open: Open,
  world: World,
  scheduler: fc.Scheduler,
  setting: Setting,
  l1: L1Options | false,
  faults: Faults = { writes: [], reads: [] },
): Promise<Process> {
  const { table, quarantineMs } = world
  const { service, synchronous, maxConcurrency } = setting
  const link = new Link(table, {
    ...service,
    scheduler,
    faults,
    synchronous,
    quarantineMs,
    requestTimeoutMs: TIMEOUT_MS,
    slowMs: SLOW_MS,
  })
  const client = await openStore(open, world, setting, link, l1)
  const seen = new Seen(table.history, l1 === false ? 0 : TTL_MS)
  const process: Process = {
    client,
    link,
    seen,
    loads: new Map(),
    ended: new Map(),
    loading: new Map(),
    closing: undefined,
  }
  link.onPut = (key, text) => {
    const since = process.loads.get(text)
    // A request that waits for its place is sent later than the load decided.
    if (since === undefined || since >= (process.ended.get(key) ?? 0) || maxConcurrency < 256) return
    table.ledger.breaks(
      undefined,
      `${key}=${text} was loaded, and is stored, though the key was written meanwhile`,
    )
  }
  link.onSettled = (key, index) => seen.raise(key, index)
  return process
}

function openStore(
  open: Open,
  { runtime, quarantineMs }: World,
  { maxConcurrency, retryBudget }: Setting,
  { backend }: Link,
  l1: L1Options | false,
): Promise<Kv> {
  return open("race", {
    backend,
    runtime,
    telemetry: false,
    quarantineMs,
    timeoutMs: TIMEOUT_MS,
    maxConcurrency,
    retryBudget,
    l1: l1 === false ? false : { ttlMs: TTL_MS, negativeTtlMs: TTL_MS, jitter: 0.2, ...l1 },
  })
}

/** Opens a second store of the process over the same rows. What one of the two has shown or written binds both. */
async function openBeside(
  process: Process,
  open: Open,
  world: World,
  setting: Setting,
  l1: L1Options | false,
): Promise<Process> {
  const client = await openStore(open, world, setting, process.link, l1)
  return { ...process, client, seen: process.seen.beside(l1 === false ? 0 : TTL_MS), closing: undefined }
}

async function runThread(world: World, caller: Caller, steps: readonly Step[]): Promise<void> {
  for (const step of steps) {
    await world.pause(step.call)
    await caller.run(step)
  }
}

/** Runs one event after the other and checks L1 after each, until the threads and the calls that they abandoned have ended. */
async function settleRace(
  scheduler: fc.Scheduler,
  world: World,
  processes: readonly Process[],
  threads: readonly Promise<unknown>[],
): Promise<void> {
  let failure: { error: unknown } | undefined
  let running = 0
  let idleMs = 0
  const follow = (promise: Promise<unknown>) => {
    running++
    promise.catch((error: unknown) => (failure ??= { error })).finally(() => running--)
  }
  for (const thread of threads) follow(thread)
  for (;;) {
    await turn()
    if (failure !== undefined) throw failure.error
    if (world.table.ledger.broken !== undefined) throw world.table.ledger.broken
    for (const process of processes) checkL1(world, process)
    if (scheduler.count() > 0) await scheduler.waitNext(1)
    else if (running === 0 && processes.every(({ client }) => client.stats().inFlight === 0)) break
    else if (idleMs > MAX_IDLE_MS) throw new PromiseBroken(`${running} calls never came to an end`)
    else {
      idleMs += IDLE_STEP_MS
      await world.runtime.advance(IDLE_STEP_MS)
    }
    await world.moving
  }
  await Promise.all(processes.map(({ closing }) => closing))
}

function checkL1({ table }: World, { client, link, seen, closing }: Process): void {
  if (closing !== undefined) return
  for (const key of KEYS) {
    const text = client.peekText(key)
    if (text === undefined) continue
    if (link.isFenced(key))
      throw new PromiseBroken(`L1 holds ${key}=${text}, though a write of it may still land`)
    seen.held(key, text)
  }
  if (table.ledger.broken !== undefined) throw table.ledger.broken
}

/** When all calls, quarantines and times to live have ended, the tiers agree and nothing is in flight. */
async function rest(scheduler: fc.Scheduler, world: World, processes: readonly Process[]): Promise<void> {
  const { table, runtime, quarantineMs } = world
  for (const { link } of processes) link.calm()
  await settleRace(scheduler, world, processes, [])
  // What failed before does not fail again.
  const reading = processes
    .filter(({ closing }) => closing === undefined)
    .flatMap(({ client }) => KEYS.map((key) => client.getText(key)))
  await settleRace(scheduler, world, processes, reading)
  await runtime.advance(quarantineMs + TTL_MS)
  for (const { client, closing } of processes) {
    if (closing !== undefined) continue
    const ask = async <T>(asking: Promise<T>): Promise<T> => {
      await settleRace(scheduler, world, processes, [asking])
      return asking
    }
    const values = await ask(Promise.all(KEYS.map((key) => client.getText(key))))
    mustBe(
      "values at rest",
      values,
      KEYS.map((key) => table.history.live(key)),
    )
    const loading = KEYS.map((key) => client.getOrSet(key, () => `loaded ${key}`, { as: "text" }))
    mustBe(
      "values loaded at rest",
      await ask(Promise.all(loading)),
      KEYS.map((key, index) => values[index] ?? `loaded ${key}`),
    )
    const { inFlight, quarantined } = client.stats()
    mustBe("what is left", { inFlight, quarantined }, { inFlight: 0, quarantined: 0 })
  }
  await Promise.all(processes.map(({ client }) => client.close()))
}

/** Lets promises settle: nothing here waits for anything but promises and the scheduler. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
