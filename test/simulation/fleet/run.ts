import { BOUND_MS, call, type Tally } from "./calls.ts"
import { Events, type Random, randomOf } from "./events.ts"
import { HEARTBEAT_MS, Hub } from "./hub.ts"
import { type Open, Process, QUARANTINE_MS, type World } from "./process.ts"
import { Broken } from "./seen.ts"
import { FAULTS, type Fault, type Setting, settingOf } from "./setting.ts"
import { Table } from "./table.ts"

/** How long a run lasts before its faults end, virtual ms. */
const RUN_MS = 30_000
/** Clients of a process, each of which makes one call after the other. */
const CLIENTS = 2

/** What a run did. */
export interface Outcome {
  /** Calls, frames delivered, and faults of processes and connections. Heartbeat timers and the like do not count. */
  events: number
  hits: number
  reads: number
  suspects: number
  revalidations: number
  gaps: number
}

/** Runs a fleet from a seed, alone in what it reads of time and chance. Rejects with {@link Broken} if a promise does not hold. */
export async function run(open: Open, seed: number, given: Partial<Setting> = {}): Promise<Outcome> {
  const fleet = new Fleet(open, seed, given)
  try {
    return await fleet.run()
  } catch (error) {
    throw new Broken(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    })
  }
}

class Fleet {
  readonly #events = new Events()
  readonly #random: Random
  readonly #world: World
  readonly #hub: Hub
  readonly #processes: Process[] = []
  readonly #tally: Tally = { calls: 0, texts: 0 }
  readonly #outcome: Outcome = { events: 0, hits: 0, reads: 0, suspects: 0, revalidations: 0, gaps: 0 }
  #faults = 0
  #broken: unknown
  #isCalm = false

  constructor(open: Open, seed: number, given: Partial<Setting>) {
    this.#random = randomOf(seed)
    const random = this.#random
    const setting = { ...settingOf(random), ...given }
    const now = () => this.#events.now
    this.#hub = new Hub(random, now, setting.lossy)
    this.#hub.plan = (afterMs, run) => void this.#events.plan(afterMs, run)
    this.#world = {
      ...{ open, random, setting },
      events: this.#events,
      table: new Table(setting.isOrdered, now),
      hub: this.#hub,
      ttlMs: random() < 0.5 ? 60_000 : 15_000,
    }
  }

  async run(): Promise<Outcome> {
    const { setting } = this.#world
    for (let index = 0; index < setting.processes; index++) this.#start(index)
    for (const fault of FAULTS) this.#planFaults(fault)
    await this.#until(RUN_MS)
    this.#isCalm = true
    for (const process of this.#processes) {
      process.resume()
      process.connect()
      process.link.failing = 0
      Object.assign(process.wire, { publishing: "passes", lagMs: 0 })
    }
    await this.#until(RUN_MS + QUARANTINE_MS + 2 * BOUND_MS + 10 * HEARTBEAT_MS)
    this.#checkRest()
    for (const process of this.#processes) this.#count(process)
    const closing = Promise.all(this.#processes.map(({ store }) => store?.close()))
    await this.#until(this.#events.now + 10_000)
    await closing
    this.#outcome.events = this.#tally.calls + this.#hub.delivered + this.#faults
    return this.#outcome
  }

  async #until(end: number): Promise<void> {
    await this.#events.runUntil(end)
    if (this.#broken !== undefined) throw this.#broken
  }

  /** Starts a process in place of the one that was there, and its clients once it is open. */
  #start(index: number): void {
    const process = new Process(this.#world)
    this.#processes[index] = process
    void process.opened().then(() => {
      for (let client = 0; client < CLIENTS; client++) this.#planCall(process)
    })
  }

  #planCall(process: Process): void {
    const { random, setting } = this.#world
    process.deliver(setting.pauseMs * CLIENTS * -Math.log(1 - random()), () => {
      if (this.#isCalm || this.#broken !== undefined || process.store === undefined) return
      call(process, this.#world, this.#tally).then(
        () => this.#planCall(process),
        (error: unknown) => {
          this.#broken ??= error
        },
      )
    })
  }

  #planFaults(fault: Fault): void {
    const perSecond = this.#world.setting.faults[fault]
    if (perSecond === 0) return
    const next = () => {
      this.#events.plan((1_000 / perSecond) * -Math.log(1 - this.#random()), () => {
        if (this.#isCalm) return
        const index = Math.floor(this.#random() * this.#processes.length)
        const process = this.#processes[index]
        if (process?.store !== undefined) {
          this.#faults++
          this.#befall(process, index, fault)
        }
        next()
      })
    }
    next()
  }

  #befall(process: Process, index: number, fault: Fault): void {
    const lastsMs = this.#random() < 0.5 ? this.#random() * 1_000 : this.#random() * 8_000
    const after = (run: () => void) => void this.#events.plan(lastsMs, run)
    const restart = () => {
      this.#count(process)
      after(() => {
        if (this.#processes[index] === process) this.#start(index)
      })
    }
    switch (fault) {
      case "crash":
        if (process.isDead) return
        process.die()
        restart()
        break
      case "close":
        if (process.isDead || process.isStopped) return
        void process.store?.close()
        process.store = undefined
        restart()
        break
      case "stop":
        process.stop()
        after(() => process.resume())
        break
      case "cut":
        process.cut(this.#random() < 0.5 ? 0 : this.#random() * lastsMs)
        after(() => process.connect())
        break
      case "lag":
        process.wire.lagMs = this.#random() * 6_000
        after(() => {
          process.wire.lagMs = 0
        })
        break
      case "mute": {
        const ways = ["hangs", "unanswered", "fails"] as const
        process.wire.publishing = ways[Math.floor(this.#random() * ways.length)] ?? "hangs"
        after(() => {
          process.wire.publishing = "passes"
        })
        break
      }
    }
  }

  /** At rest, L1 holds what the table holds. */
  #checkRest(): void {
    const { setting, table } = this.#world
    for (const process of this.#processes) {
      for (let index = 0; index < setting.keys; index++) {
        const key = `key:${index}`
        const held = process.isDead ? undefined : process.store?.peekText(key)
        const there = table.rows.get(key)?.text
        if (held !== undefined && held !== there)
          throw new Broken(`at rest L1 holds ${held} of ${key}, the table ${there}`)
      }
    }
  }

  #count({ store }: Process): void {
    const stats = store?.stats()
    if (stats === undefined) return
    this.#outcome.hits += stats.l1.hits + stats.l1.negativeHits
    this.#outcome.reads += stats.l1.hits + stats.l1.negativeHits + stats.l1.misses
    this.#outcome.suspects += stats.bus?.suspects ?? 0
    this.#outcome.revalidations += stats.bus?.revalidations ?? 0
    this.#outcome.gaps += stats.bus?.gaps ?? 0
  }
}
