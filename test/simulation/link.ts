import type { Scheduler } from "fast-check"
import type {
  Backend,
  KeyedEntry,
  Removal,
  RequestOptions,
  StoredEntry,
  Write,
  WriteResult,
} from "../../tiers/backend.ts"
import { KvError, type KvErrorCode } from "../../tiers/errors.ts"
import type { Faults, ReadFault, WriteFault } from "./faults.ts"
import { PromiseBroken } from "./history.ts"
import { limited, NEVER } from "./limited.ts"
import { Replica } from "./replica.ts"
import type { Service, Table } from "./table.ts"

export interface LinkOptions extends Service {
  readonly scheduler: Scheduler
  readonly faults: Faults
  /** Whether reads are answered without a promise, and never fail. */
  readonly synchronous: boolean
  readonly quarantineMs: number
  /** Longest time of a request without a limit of its own, ms. */
  readonly requestTimeoutMs: number
  /** How long a slow answer takes, ms. */
  readonly slowMs: number
}

/**
 * One process's way to a table. Its every request and reply waits until the scheduler lets it go on. Reads and writes fail, hang, lose their
 * replies and land late as told; a request ends at its limit.
 */
export class Link {
  readonly backend: Backend
  /** Is called with every value when it is first sent. */
  onPut: (key: string, text: string) => void = () => {}
  /** Is called when a write can no longer land late, with the state that it left. */
  onSettled: (key: string, index: number) => void = () => {}
  readonly #table: Table
  readonly #options: LinkOptions
  readonly #faults: { writes: WriteFault[]; reads: ReadFault[] }
  readonly #sent = new Set<string>()
  /** Requests so far, except synchronous reads. */
  #requests = 0
  readonly #writing = new Map<string, number>()
  readonly #reading = new Map<string, number[]>()
  readonly #doubtful = new Map<string, number>()
  readonly #replica: Replica

  constructor(table: Table, options: LinkOptions) {
    this.#table = table
    this.#options = options
    this.#faults = { writes: [...options.faults.writes], reads: [...options.faults.reads] }
    this.#replica = new Replica(table, options.lagMs)
    this.backend = this.#backend()
  }

  /** Requests from now on have no faults. */
  calm(): void {
    this.#faults.writes.length = 0
    this.#faults.reads.length = 0
    this.#replica.catchUp()
  }

  /** Whether a write of the key is with the table, or one that was given up may still land: L1 keeps away. */
  isFenced(key: string): boolean {
    return (
      (this.#writing.get(key) ?? 0) > 0 || (this.#doubtful.get(key) ?? 0) > this.#table.runtime.monotonic()
    )
  }

  /** When the oldest read of the key under way was sent, in the time of the race. */
  readingSince(key: string): number {
    return this.#reading.get(key)?.[0] ?? this.#table.runtime.now() - this.#options.lagMs
  }

  #backend(): Backend {
    const { rows, history } = this.#table
    const { networked, synchronous } = this.#options
    const one = <T>(key: string, found: Map<string, T>): T => {
      const answer = found.get(key)
      if (answer === undefined) throw new PromiseBroken(`the table left ${key} out`)
      return answer
    }
    const replica = this.#replica
    const entries = async (keys: readonly string[], asOf: number | undefined) => {
      if (asOf !== undefined) return replica.getMany(keys, asOf)
      const found = await rows.getMany(keys)
      for (const [key, entry] of found)
        if (!(entry instanceof Error)) history.indexOf(key, Buffer.from(entry.value).toString())
      return found
    }
    return {
      ...rows,
      traits: { ...rows.traits, inProcess: !networked, maxReadBatch: 10, maxWriteBatch: 10 },
      ...(synchronous
        ? {}
        : {
            get: (key, request) =>
              this.#read("get", [key], request, () =>
                request?.asOf === undefined ? rows.get(key) : replica.get(key, request.asOf),
              ),
            getMany: (keys, request) =>
              this.#read<Map<string, StoredEntry | KvError>>("getMany", keys, request, () =>
                entries(keys, request?.asOf),
              ),
            exists: (key, request) => this.#read("exists", [key], request, () => rows.exists(key)),
            ...(this.#options.lagMs === 0 ? {} : { replicatedUntil: () => replica.until() }),
          }),
      probe: (keys, request) => this.#read("probe", keys, request, () => rows.probe(keys)),
      scan: (prefix, page) =>
        this.#read<{ entries: KeyedEntry[] }>("scan", [], page, () => rows.scan(prefix, page)),
      put: async (key, write, request) =>
        one(
          key,
          await this.#write("put", new Map([[key, write]]), request, (k, w, late) => this.#put(k, w, late)),
        ),
      putMany: (writes, request) =>
        this.#writeMany("putMany", writes, request, (key, write, late) => this.#put(key, write, late)),
      delete: async (key, removal, request) =>
        one(
          key,
          await this.#write("delete", new Map([[key, removal]]), request, (k, r, late) =>
            this.#table.delete(k, r, late),
          ),
        ),
      deleteMany: (removals, request) =>
        this.#writeMany("deleteMany", removals, request, (key, removal, late) =>
          this.#table.delete(key, removal, late),
        ),
    }
  }

  #put(key: string, write: Write, late: boolean): Promise<WriteResult> {
    return this.#table.put(key, write, late)
  }

  async #read<T>(
    operation: string,
    keys: readonly string[],
    request: RequestOptions | undefined,
    ask: () => T | Promise<T>,
  ): Promise<T> {
    const fault = this.#faults.reads.shift() ?? "pass"
    this.#requests++
    const { asOf } = request ?? {}
    const since = asOf === undefined ? this.#table.runtime.now() : this.#replica.timeOf(asOf)
    for (const key of keys) this.#reading.set(key, [...(this.#reading.get(key) ?? []), since])
    try {
      return await limited(
        this.#table.runtime,
        this.#limitOf(request),
        error(operation, "TIMEOUT"),
        async (isOver) => {
          await this.#pause(`${operation} ${keys} sent`)
          if (fault === "fail") throw error(operation, "UNAVAILABLE")
          if (fault === "hang" || isOver()) return NEVER
          const answer = await ask()
          if (fault === "slow") await this.#slowly()
          await this.#pause(`${operation} ${keys} answered`)
          if (fault === "partial" && answer instanceof Map)
            for (const key of keys.slice(0, 1)) answer.set(key, error(operation, "THROTTLED", key))
          return answer
        },
      )
    } finally {
      for (const key of keys) this.#reading.get(key)?.shift()
    }
  }

  /** The write of each item; rejects if the whole request fails. */
  async #write<Item extends Write | Removal>(
    operation: string,
    items: ReadonlyMap<string, Item>,
    request: RequestOptions | undefined,
    apply: (key: string, item: Item, late: boolean) => Promise<WriteResult>,
    fault: WriteFault = this.#faults.writes.shift() ?? "pass",
  ): Promise<Map<string, WriteResult>> {
    const keys = [...items.keys()]
    const unknown = error(operation, "OUTCOME_UNKNOWN")
    let isCounted = true
    const uncount = () => {
      if (isCounted) this.#count(keys, -1)
      isCounted = false
    }
    const applyAll = async (late: boolean) => {
      const results = new Map<string, WriteResult>()
      for (const [key, item] of items) results.set(key, await apply(key, item, late))
      // Over a network the write may be found by its row from now on, while its request is still open.
      if (this.#options.networked) uncount()
      return results
    }
    const landLate = () => this.#landLate(operation, keys, () => applyAll(true))
    this.#requests++
    this.#count(keys, 1)
    this.#announce(items)
    try {
      return await limited(this.#table.runtime, this.#limitOf(request), unknown, async (isOver) => {
        await this.#pause(`${operation} ${keys} sent`)
        if (fault === "fail") throw error(operation, "UNAVAILABLE")
        if (fault === "drop") throw unknown
        if (fault === "hang" || isOver()) return NEVER
        if (fault === "landLate") {
          landLate()
          throw unknown
        }
        const results = fault === "hangLate" ? undefined : await applyAll(false)
        if (fault === "slow") await this.#slowly()
        if (results === undefined || fault === "hangApplied") return NEVER
        if (fault === "echo" && [...results.values()].some(({ applied }) => applied)) {
          landLate()
          return new Map(Array.from(results, ([key, one]) => [key, { ...one, mayLandLate: true as const }]))
        }
        await this.#pause(`${operation} ${keys} answered`)
        if (fault === "loseReply") throw unknown
        return results
      })
    } catch (failure) {
      if (failure === unknown) {
        for (const { id } of items.values()) this.#table.unanswered(id)
        if (fault === "hangLate") landLate()
      }
      throw failure
    } finally {
      uncount()
    }
  }

  /** A batch, of which some keys may fail alone. */
  async #writeMany<Item extends Write | Removal>(
    operation: string,
    items: ReadonlyMap<string, Item>,
    request: RequestOptions | undefined,
    apply: (key: string, item: Item, late: boolean) => Promise<WriteResult>,
  ): Promise<Map<string, WriteResult | KvError>> {
    const fault = this.#faults.writes.shift() ?? "pass"
    if (fault !== "partial") return this.#write(operation, items, request, apply, fault)
    const [first, ...rest] = items
    if (first === undefined) return new Map()
    const answers: Map<string, WriteResult | KvError> = await this.#write(
      operation,
      new Map(rest),
      request,
      apply,
      "pass",
    )
    const [key, item] = first
    const isApplied = this.#requests % 2 === 0
    this.#announce(new Map([first]))
    if (isApplied) {
      await apply(key, item, false)
      this.#table.unanswered(item.id)
    }
    answers.set(key, error(operation, isApplied ? "OUTCOME_UNKNOWN" : "THROTTLED", key))
    return answers
  }

  #announce(items: ReadonlyMap<string, Write | Removal>): void {
    for (const [key, item] of items) {
      const text = "value" in item ? Buffer.from(item.value).toString() : undefined
      const call = this.#table.ledger.callOf(key, text)
      if (text !== undefined && !this.#sent.has(text)) this.onPut(key, text)
      if (text !== undefined) this.#sent.add(text)
      this.#table.sent(key, item.id, call)
    }
  }

  /** Lets a write land when the scheduler says so, unless the quarantine is over by then. */
  #landLate(operation: string, keys: readonly string[], apply: () => Promise<unknown>): void {
    const { runtime, history } = this.#table
    const until = runtime.monotonic() + this.#options.quarantineMs
    for (const key of keys) this.#doubtful.set(key, Math.max(until, this.#doubtful.get(key) ?? 0))
    // Half of them land after what their sender does next, which waits before it does it.
    const delayMs = (runtime.random() * this.#options.quarantineMs) / 2
    const delayed = () => new Promise<void>((resolve) => void runtime.setTimer(resolve, delayMs))
    const landing = runtime.random() < 0.5 ? Promise.resolve() : delayed()
    void landing
      .then(() => this.#pause(`${operation} ${keys} lands late`))
      .then(async () => {
        if (runtime.monotonic() >= until) return
        await apply()
        const landed = keys.map((key) => [key, history.current(key)] as const)
        runtime.setTimer(() => {
          for (const [key, index] of landed) this.onSettled(key, index)
        }, until - runtime.monotonic())
      })
  }

  #limitOf(request: RequestOptions | undefined): number {
    return request?.timeoutMs ?? this.#options.requestTimeoutMs
  }

  #pause(label: string): Promise<unknown> {
    return this.#options.scheduler.schedule(Promise.resolve(), label)
  }

  #slowly(): Promise<void> {
    return new Promise((resolve) => void this.#table.runtime.setTimer(resolve, this.#options.slowMs))
  }

  #count(keys: readonly string[], by: number): void {
    for (const key of keys) this.#writing.set(key, (this.#writing.get(key) ?? 0) + by)
  }
}

function error(operation: string, code: KvErrorCode, key?: string): KvError {
  return new KvError(code, `${operation} met a fault`, { operation, backend: "memory", key })
}
