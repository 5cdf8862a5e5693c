import { randomFillSync } from "node:crypto"
import { KvError } from "../../../tiers/errors.ts"
import { MAX_VALUE_BYTES } from "../../../tiers/limits.ts"
import type { Kv } from "../../api.ts"
import type { ReplayKey, ReplayKeys } from "./keys.ts"
import type { L1Simulation } from "./l1-simulation.ts"
import type { LogClock } from "./log-clock.ts"
import type { Access } from "./log-format.ts"

export interface ReplayStores {
  /** The store that is measured. */
  readonly measured: Kv
  /** A second handle of the backend, without L1 and with its own counters. It stores what the log expects to find. */
  readonly seeding: Kv
}

/** The state of a replay. */
export interface ReplayTally {
  accesses: number
  reads: number
  writes: number
  deletes: number
  /** Reads that found a value. */
  found: number
  /** Failed accesses. */
  failed: number
  failures: Map<string, number>
  /** Keys that were stored beforehand, because the log reads them before it writes them. */
  seeded: number
  /** Values over the limit of the store, truncated to it. */
  cutValues: number
  /** Time spent in the accesses, ms. */
  elapsedMs: number
  /** Time from the first access of the log to the last, ms; absent if the log has no times. */
  spanMs?: number
}

interface Step {
  readonly access: Access
  readonly key: ReplayKey
}

/** Consecutive failures after which the replay assumes that the backend is down and ends. */
const FAILURES_IN_A_ROW = 20
const SEEDS_AT_ONCE = 1_000
/** The values. Random, so that they do not compress. */
const BYTES = randomFillSync(new Uint8Array(MAX_VALUE_BYTES))

/** Replays accesses through a store, batch by batch, and through the simulation beside it. */
export class Replay {
  readonly #stores: ReplayStores
  readonly #keys: ReplayKeys
  readonly #simulation: L1Simulation
  readonly #clock: LogClock
  readonly #options: { concurrency: number; valueBytes: number; signal: AbortSignal }
  readonly tally: ReplayTally = {
    accesses: 0,
    reads: 0,
    writes: 0,
    deletes: 0,
    found: 0,
    failed: 0,
    failures: new Map(),
    seeded: 0,
    cutValues: 0,
    elapsedMs: 0,
  }
  #firstMs: number | undefined
  /** The latest time of the log that was replayed. */
  #logMs = 0
  /** The latest time of the log that was simulated; the simulation is up to a batch ahead of the replay. */
  #simulatedMs = 0
  #failuresInARow = 0

  constructor(
    stores: ReplayStores,
    keys: ReplayKeys,
    simulation: L1Simulation,
    clock: LogClock,
    options: { concurrency: number; valueBytes: number; signal: AbortSignal },
  ) {
    this.#stores = stores
    this.#keys = keys
    this.#simulation = simulation
    this.#clock = clock
    this.#options = options
  }

  async run(batch: readonly Access[]): Promise<void> {
    const steps = await this.#prepare(batch)
    const startedAt = performance.now()
    // Accesses of the same time run concurrently. Between two times nothing is under way, so the clock can be set.
    for (let from = 0; from < steps.length && !this.#options.signal.aborted; ) {
      const atMs = steps[from]?.access.atMs
      let to = from + 1
      while (to < steps.length && steps[to]?.access.atMs === atMs) to++
      if (atMs !== undefined) this.#advanceTo(atMs)
      await this.#runTogether(steps, from, to)
      from = to
    }
    this.tally.elapsedMs += performance.now() - startedAt
  }

  /** Gives every access its key, and stores the values that the batch reads before the log has written them. */
  async #prepare(batch: readonly Access[]): Promise<Step[]> {
    const seeds = new Map<string, Uint8Array>()
    const steps = batch.map((access) => {
      const known = this.#keys.find(access.key)
      const key = known ?? this.#keys.add(access.key)
      if (known === undefined && access.operation === "read") seeds.set(key.key, this.#valueOf(access))
      return { access, key, seen: known !== undefined }
    })
    for (const { access, key, seen } of steps) this.#simulate(access, key.id, seen)
    const entries = [...seeds]
    for (let from = 0; from < entries.length; from += SEEDS_AT_ONCE) {
      await this.#stores.seeding.setMany(entries.slice(from, from + SEEDS_AT_ONCE))
    }
    this.tally.seeded += entries.length
    return steps
  }

  #simulate({ operation, atMs, ttlMs }: Access, key: number, seen: boolean): void {
    this.#simulatedMs = Math.max(this.#simulatedMs, atMs ?? 0)
    const now = this.#simulatedMs
    const expiresAt = ttlMs === undefined ? Number.POSITIVE_INFINITY : now + ttlMs
    if (operation === "read") this.#simulation.read(key, now)
    else if (operation === "write") this.#simulation.write(key, expiresAt)
    else if (operation === "add") this.#simulation.add(key, now, expiresAt, seen)
    else this.#simulation.delete(key)
  }

  #advanceTo(atMs: number): void {
    this.#firstMs ??= atMs
    this.#logMs = Math.max(this.#logMs, atMs)
    this.tally.spanMs = this.#logMs - this.#firstMs
    this.#clock.advanceTo(this.#logMs)
  }

  async #runTogether(steps: readonly Step[], from: number, to: number): Promise<void> {
    let next = from
    const work = async () => {
      while (next < to && !this.#options.signal.aborted) {
        const step = steps[next++]
        if (step !== undefined) await this.#perform(step)
      }
    }
    const workers = Math.min(this.#options.concurrency, to - from)
    await Promise.all(Array.from({ length: workers }, work))
  }

  async #perform({ access, key: { key } }: Step): Promise<void> {
    const { tally } = this
    const { measured } = this.#stores
    tally.accesses++
    try {
      if (access.operation === "read") {
        tally.reads++
        if ((await measured.get(key)) !== undefined) tally.found++
      } else if (access.operation === "delete") {
        tally.deletes++
        await measured.delete(key)
      } else {
        tally.writes++
        await measured.set(key, this.#valueOf(access), {
          ...(access.ttlMs === undefined ? {} : { ttlMs: access.ttlMs }),
          ...(access.operation === "add" ? { ifNotExists: true } : {}),
        })
      }
      this.#failuresInARow = 0
    } catch (error) {
      this.#countFailure(error)
    }
  }

  #countFailure(error: unknown): void {
    if (!(error instanceof KvError) || !error.retryable) throw error
    this.tally.failed++
    this.tally.failures.set(error.code, (this.tally.failures.get(error.code) ?? 0) + 1)
    if (++this.#failuresInARow >= FAILURES_IN_A_ROW) throw error
  }

  #valueOf({ valueBytes = this.#options.valueBytes }: Access): Uint8Array {
    if (valueBytes > MAX_VALUE_BYTES) this.tally.cutValues++
    return BYTES.subarray(0, Math.min(valueBytes, MAX_VALUE_BYTES))
  }
}
