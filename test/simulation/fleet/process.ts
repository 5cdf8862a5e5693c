import type { Kv } from "../../../src/api.ts"
import type { kv } from "../../../src/index.ts"
import type { Runtime } from "../../../tiers/runtime.ts"
import type { Events, Random } from "./events.ts"
import type { Hub, Place, Wire } from "./hub.ts"
import { Link } from "./link.ts"
import { Seen } from "./seen.ts"
import type { Setting } from "./setting.ts"
import type { Table } from "./table.ts"

export type Open = typeof kv

/** What the processes of a run share. */
export interface World {
  readonly open: Open
  readonly events: Events
  readonly random: Random
  readonly table: Table
  readonly hub: Hub
  readonly setting: Setting
  readonly ttlMs: number
}

/** How long a write that got no answer may still be applied, ms. */
export const QUARANTINE_MS = 3_000
/** Longest time of a call, ms. */
const TIMEOUT_MS = 800

/** One life of a process. */
export class Process implements Place {
  readonly seen: Seen
  readonly link: Link
  readonly wire: Wire
  readonly cut: (toldAfterMs: number) => void
  readonly connect: () => void
  isDead = false
  /** The store, once it is open. */
  store: Kv | undefined
  /** What reaches the process while it is stopped. */
  #arrived: (() => void)[] | undefined
  readonly #world: World
  readonly #opening: Promise<Kv>

  constructor(world: World) {
    const { events, random, table, hub, setting, ttlMs, open } = world
    this.#world = world
    this.seen = new Seen(table)
    const plan = (afterMs: number, run: () => void) => void events.plan(afterMs, run)
    this.link = new Link({ ...setting, table, random, process: this, plan })
    const { bus, wire, connect, cut, joined } = hub.join(this)
    events.hold(joined)
    this.wire = wire
    this.connect = connect
    this.cut = cut
    const { fillOnWrite } = setting
    this.#opening = open("fleet", {
      ...{ backend: this.link.backend, runtime: this.#runtime(), bus, isolated: true, telemetry: false },
      ...{ quarantineMs: QUARANTINE_MS, timeoutMs: TIMEOUT_MS },
      l1: {
        ttlMs,
        negativeTtlMs: ttlMs,
        maxEntries: setting.maxEntries,
        ...(fillOnWrite ? { fillOnWrite } : {}),
      },
    })
  }

  async opened(): Promise<void> {
    this.store = await this.#opening
  }

  get isStopped(): boolean {
    return this.#arrived !== undefined
  }

  deliver(afterMs: number, run: () => void): void {
    this.#world.events.plan(afterMs, () => this.#arrive(run))
  }

  stop(): void {
    if (!this.isDead) this.#arrived ??= []
  }

  resume(): void {
    const arrived = this.#arrived ?? []
    this.#arrived = undefined
    for (const run of arrived) this.deliver(0, run)
  }

  die(): void {
    this.isDead = true
    this.#arrived = undefined
  }

  #arrive(run: () => void): void {
    if (this.isDead) return
    if (this.#arrived === undefined) run()
    else this.#arrived.push(run)
  }

  #runtime(): Runtime {
    const { events, random } = this.#world
    const ahead = Math.floor(random() * 1e6)
    const digits = () =>
      Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0")
    return {
      now: () => 1_700_000_000_000 + Math.floor(events.now),
      monotonic: () => ahead + events.now,
      random,
      id: () => digits() + digits() + digits() + digits(),
      setTimer: (callback, delayMs) => {
        const cancel = events.plan(delayMs, () => this.#arrive(callback))
        return { cancel }
      },
    }
  }
}
