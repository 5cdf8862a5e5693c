import type { Scheduler } from "fast-check"
import type { Backend, Removal, Write, WriteResult } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { memory, memoryStore } from "../../tiers/memory.ts"
import { wasWrittenBy } from "../support/heads.ts"
import type { TestRuntime } from "../support/runtime.ts"
import { type Expectation, History, PromiseBroken } from "./history.ts"

/**
 * What happens to one write of the client: nothing; it fails; it is applied, and its reply is lost; its reply is lost, and
 * it is applied later; it is applied, and a copy of it arrives later.
 */
export type WriteFault = "pass" | (typeof WRITE_FAULTS)[number]
export const WRITE_FAULTS = ["fail", "loseReply", "landLate", "echo"] as const
export type ReadFault = "pass" | "fail"

export interface Faults {
  readonly writes: readonly WriteFault[]
  readonly reads: readonly ReadFault[]
}

/**
 * A table whose every request and every reply waits until the scheduler lets it go on, and that keeps the history of what
 * was applied to it. Writes fail, lose their replies and land late as told.
 */
export class RacingTable {
  readonly history: History
  readonly backend: Backend
  /** Is called with every value when the client first sends it. */
  onPut: (key: string, text: string) => void = () => {}
  readonly #scheduler: Scheduler
  readonly #runtime: TestRuntime
  readonly #table: Backend
  readonly #quarantineMs: number
  readonly #faults: { writes: WriteFault[]; reads: ReadFault[] }
  readonly #sent = new Set<string>()
  readonly #writing = new Map<string, number>()
  readonly #reading = new Map<string, number[]>()
  readonly #doubtful = new Map<string, number>()

  constructor(
    scheduler: Scheduler,
    runtime: TestRuntime,
    faults: Faults,
    times: { ttlMs: number; quarantineMs: number },
    networked: boolean,
  ) {
    this.#scheduler = scheduler
    this.#runtime = runtime
    this.#faults = { writes: [...faults.writes], reads: [...faults.reads] }
    this.#table = memory({ runtime, store: memoryStore() })
    this.#quarantineMs = times.quarantineMs
    this.history = new History(runtime.now, times.ttlMs)
    this.backend = this.#racing(networked)
  }

  /** Calls from now on have no faults. */
  calm(): void {
    this.#faults.writes.length = 0
    this.#faults.reads.length = 0
  }

  /** Whether a write of the key is with the backend, or one that was given up may still land: L1 keeps away. */
  isFenced(key: string): boolean {
    return (this.#writing.get(key) ?? 0) > 0 || (this.#doubtful.get(key) ?? 0) > this.#runtime.monotonic()
  }

  /** What a read of the key that starts now may show. */
  expect(key: string, strong: boolean): Expectation {
    if (strong) return this.history.expectStrong(key)
    return this.history.expectCached(key, this.#reading.get(key)?.[0], this.isFenced(key))
  }

  /** Another process writes. */
  async writeElsewhere(key: string, text: string, ttlMs: number | undefined): Promise<void> {
    const expiry = ttlMs === undefined ? {} : { expiresAt: this.#runtime.now() + ttlMs }
    await this.#put(key, { value: Buffer.from(text), id: this.#runtime.id(), ...expiry })
  }

  async deleteElsewhere(key: string): Promise<void> {
    await this.#delete(key, { id: this.#runtime.id() })
  }

  #racing(networked: boolean): Backend {
    const table = this.#table
    const pause = (label: string) => this.#scheduler.schedule(Promise.resolve(), label)

    const read = async <T>(
      operation: string,
      keys: readonly string[],
      ask: () => T | Promise<T>,
    ): Promise<T> => {
      const fault = this.#faults.reads.shift() ?? "pass"
      const since = this.#runtime.now()
      for (const key of keys) this.#reading.set(key, [...(this.#reading.get(key) ?? []), since])
      try {
        await pause(`${operation} ${keys} sent`)
        if (fault === "fail") throw new KvError("UNAVAILABLE", "down", { operation, backend: "memory" })
        const answer = await ask()
        await pause(`${operation} ${keys} answered`)
        return answer
      } finally {
        for (const key of keys) this.#reading.get(key)?.shift()
      }
    }

    const write = async <T>(
      operation: string,
      keys: readonly string[],
      apply: () => Promise<T>,
    ): Promise<T> => {
      const fault = this.#faults.writes.shift() ?? "pass"
      const unknown = new KvError("OUTCOME_UNKNOWN", "no reply", { operation, backend: "memory" })
      this.#count(keys, 1)
      try {
        await pause(`${operation} ${keys} sent`)
        if (fault === "fail") throw new KvError("UNAVAILABLE", "down", { operation, backend: "memory" })
        if (fault === "landLate") {
          this.#landLate(operation, keys, apply)
          throw unknown
        }
        const result = await apply()
        if (fault === "echo" && isApplied(result)) {
          this.#landLate(operation, keys, apply)
          return { ...result, mayLandLate: true }
        }
        await pause(`${operation} ${keys} answered`)
        if (fault === "loseReply") throw unknown
        return result
      } finally {
        this.#count(keys, -1)
      }
    }

    return {
      ...table,
      traits: { ...table.traits, inProcess: !networked },
      get: (key) => read("get", [key], () => table.get(key)),
      getMany: (keys) => read("getMany", keys, () => table.getMany(keys)),
      exists: (key) => read("exists", [key], () => table.exists(key)),
      scan: (prefix, page) => read("scan", [], () => table.scan(prefix, page)),
      put: (key, item) => {
        if (!this.#sent.has(item.id)) this.onPut(key, Buffer.from(item.value).toString())
        this.#sent.add(item.id)
        return write("put", [key], () => this.#put(key, item))
      },
      delete: (key, item) => write("delete", [key], () => this.#delete(key, item)),
      putMany: (items) =>
        write("putMany", [...items.keys()], () => this.#each(items, (key, item) => this.#put(key, item))),
      deleteMany: (items) =>
        write("deleteMany", [...items.keys()], () =>
          this.#each(items, (key, item) => this.#delete(key, item)),
        ),
    }
  }

  /** Lets a write land when the scheduler says so, unless the quarantine is over by then. */
  #landLate(operation: string, keys: readonly string[], apply: () => Promise<unknown>): void {
    const until = this.#runtime.monotonic() + this.#quarantineMs
    for (const key of keys) this.#doubtful.set(key, Math.max(until, this.#doubtful.get(key) ?? 0))
    void this.#scheduler.schedule(Promise.resolve(), `${operation} ${keys} lands late`).then(async () => {
      if (this.#runtime.monotonic() >= until) return
      await apply()
      // Once the quarantine is over, nothing older is shown.
      const landed = keys.map((key) => [key, this.history.current(key)] as const)
      this.#runtime.setTimer(() => {
        for (const [key, index] of landed) this.history.raise(key, index)
      }, until - this.#runtime.monotonic())
    })
  }

  async #put(key: string, item: Write): Promise<WriteResult> {
    const before = await wasWrittenBy(this.#table, key, item.id)
    const result = await this.#table.put(key, item)
    if (result.applied && !before) this.history.apply(key, Buffer.from(item.value).toString(), item.expiresAt)
    return result
  }

  async #delete(key: string, item: Removal): Promise<WriteResult> {
    const result = await this.#table.delete(key, item)
    if (result.applied) this.history.apply(key, undefined)
    return result
  }

  async #each<In>(items: ReadonlyMap<string, In>, apply: (key: string, item: In) => Promise<WriteResult>) {
    const results = new Map<string, WriteResult>()
    for (const [key, item] of items) results.set(key, await apply(key, item))
    return results
  }

  #count(keys: readonly string[], by: number): void {
    for (const key of keys) {
      const count = (this.#writing.get(key) ?? 0) + by
      if (count < 0) throw new PromiseBroken(`${key} was written less often than never`)
      this.#writing.set(key, count)
    }
  }
}

function isApplied(result: unknown): result is WriteResult {
  return typeof result === "object" && result !== null && "applied" in result && result.applied === true
}
