import fc from "fast-check"
import { testRuntime } from "../support/runtime.ts"
import { Caller } from "./caller.ts"
import { isRead, KEYS, type Step, threads, threadsOf } from "./calls.ts"
import { asSystem, Clocks } from "./clocks.ts"
import { mustBe, PromiseBroken } from "./history.ts"
import type { Process, World } from "./process.ts"
import { type Focus, type Setting, settings } from "./setting.ts"
import { type Open, start, TIMEOUT_MS } from "./start.ts"
import { Table } from "./table.ts"

const TTL_MS = 50
/** Over the runtime of the system: longer than the 250 ms before a deadline within which L1 takes no shortcuts. */
const SYSTEM_TTL_MS = 1_000
/** Over a network, longer than a call. */
const QUARANTINE_MS = { bare: 30, networked: 600 }
/** How far time moves when nothing else is left to wait for, ms. */
const IDLE_STEP_MS = 20
/** More than all waits between the attempts of a call, and than `close` waits. */
const MAX_IDLE_MS = 20_000

/**
 * Threads of calls on the clients of a few processes, whose requests and replies, aborts and late writes come in any order; another program
 * writes to the same table. After each event the promises of the tiers are checked; a broken one rejects.
 */
export function race(open: Open, focus: Focus = {}) {
  const steps = focus.calls === undefined ? threads : threadsOf(focus.calls, ["a"])
  return fc.asyncProperty(fc.scheduler(), steps, settings(focus), async (scheduler, threads, setting) => {
    const runtime = testRuntime(1_000_000)
    const { networked } = setting.service
    const clocks = new Clocks(runtime, 0)
    const table = new Table(runtime, clocks, setting.service)
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
      timeoutMs: networked ? TIMEOUT_MS : undefined,
      quarantineMs: networked ? QUARANTINE_MS.networked : QUARANTINE_MS.bare,
      onlyLoads:
        setting.l1.length === 1 && setting.sibling[0] === undefined && isQuiet && calls.every(isRead),
      ttlMs: setting.system ? SYSTEM_TTL_MS : TTL_MS,
      stores: [],
      frozenMs: 0,
      moving: Promise.resolve(),
    }
    const own = (index: number) => new Clocks(runtime, setting.clockErrorsMs[index] ?? 0)
    const machines = setting.l1.map((_, index) => (networked ? own(index) : clocks))
    const restore = setting.system && machines[0] !== undefined ? asSystem(machines[0].runtime) : () => {}
    try {
      await run(open, world, scheduler, setting, machines, setting.system ? threads.map(longer) : threads)
    } finally {
      restore()
    }
  })
}

/** The same steps with expiries, and steps of the clock, in proportion to the times to live over the runtime of the system. */
function longer(steps: readonly Step[]): Step[] {
  const factor = SYSTEM_TTL_MS / TTL_MS
  return steps.map((step) => ({
    ...step,
    ttlMs: step.ttlMs && step.ttlMs * factor,
    waitMs: step.call === "stepClock" ? step.waitMs * factor : step.waitMs,
  }))
}

async function run(
  open: Open,
  world: World,
  scheduler: fc.Scheduler,
  setting: Setting,
  machines: readonly Clocks[],
  threads: readonly (readonly Step[])[],
): Promise<void> {
  const processes = world.stores
  for (const [index, clocks] of machines.entries())
    processes.push(...(await start(open, world, scheduler, setting, clocks, index)))
  const running = threads.map((steps, index) => {
    const process = processes[index % processes.length]
    if (process === undefined) throw new Error("there is no process")
    return runThread(world, new Caller(world, process), steps)
  })
  await settleRace(scheduler, world, processes, running)
  await rest(scheduler, world, processes)
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

function checkL1({ table, runtime }: World, { client, link, seen, deadlines, closing }: Process): void {
  if (closing !== undefined) return
  for (const key of KEYS) {
    const text = client.peekText(key)
    if (text === undefined) continue
    if (link.isFenced(key))
      throw new PromiseBroken(`L1 holds ${key}=${text}, though a write of it may still land`)
    seen.held(key, text)
    const before = deadlines.get(key)
    const isLate = before?.text === text && before.until <= runtime.monotonic()
    if (isLate && before.fills === client.stats().l1.fills)
      throw new PromiseBroken(`L1 holds ${key}=${text} longer because the wall clock was stepped back`)
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
  await runtime.advance(quarantineMs + world.ttlMs)
  for (const { client, clocks, isRoomy, closing } of processes) {
    if (closing !== undefined) continue
    const ask = async <T>(asking: Promise<T>): Promise<T> => {
      await settleRace(scheduler, world, processes, [asking])
      return asking
    }
    const values = await ask(Promise.all(KEYS.map((key) => client.getText(key))))
    mustBe(
      "values at rest",
      values,
      KEYS.map((key) => table.history.live(key, clocks)),
    )
    const loading = KEYS.map((key) => client.getOrSet(key, () => `loaded ${key}`, { as: "text" }))
    mustBe(
      "values loaded at rest",
      await ask(Promise.all(loading)),
      KEYS.map((key, index) => values[index] ?? `loaded ${key}`),
    )
    await ask(Promise.all(KEYS.map((key) => client.getText(key, { consistency: "strong" }))))
    const reading = () => ask(Promise.all(KEYS.map((key) => client.getText(key))))
    await reading()
    // A look-up of what L1 holds may be the first that notices a step of the wall clock, and empties L1.
    for (const key of KEYS) client.peekText(key)
    const again = await reading()
    const lasting = (key: string) =>
      table.history.state(key, table.history.current(key)).expiresAt === undefined
    if (isRoomy) {
      mustBe(
        "what L1 holds at rest",
        KEYS.filter(lasting).map((key) => client.peekText(key)),
        again.filter((_, index) => lasting(KEYS[index] ?? "")),
      )
    }
    const { inFlight, quarantined } = client.stats()
    mustBe("what is left", { inFlight, quarantined }, { inFlight: 0, quarantined: 0 })
  }
  await Promise.all(processes.map(({ client }) => client.close()))
}

/** Lets promises settle: nothing here waits for anything but promises and the scheduler. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
