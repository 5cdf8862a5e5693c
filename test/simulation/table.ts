import type { Backend, Condition, Removal, Write, WriteResult } from "../../tiers/backend.ts"
import type { MemoryStore } from "../../tiers/memory.ts"
import { memory, memoryStore } from "../../tiers/memory.ts"
import { writeId } from "../../tiers/util/write-id.ts"
import { remoteMemory, restart } from "../support/remote-memory.ts"
import type { TestRuntime } from "../support/runtime.ts"
import type { Clocks } from "./clocks.ts"
import { History } from "./history.ts"
import { Ledger, type WriteCall, writing } from "./ledger.ts"

/** What the service of a table tells its clients. */
export interface Service {
  /** Whether it is reached over a network. */
  readonly networked: boolean
  /** Whether its versions have an order. If not, the version of a row is the identity of the attempt that wrote it. */
  readonly ordered: boolean
  /** Whether it tells when its rows were written. */
  readonly clock: boolean
  /** How far its replicas are behind, at most, ms; 0: it has none. */
  readonly lagMs: number
}

/** One table that several processes share, with the history of what was applied to it. */
export class Table {
  readonly history: History
  readonly ledger: Ledger
  /** The table itself: answers at once, and never fails. */
  readonly rows: Backend
  /** The time of the race. */
  readonly runtime: TestRuntime
  readonly #store: MemoryStore = memoryStore()
  readonly #clocks: Clocks
  /** Identities of attempts without an answer. */
  readonly #unanswered = new Set<string>()
  #applied: Promise<unknown> = Promise.resolve()

  constructor(runtime: TestRuntime, clocks: Clocks, { networked, ordered, clock }: Service) {
    const options = { runtime: clocks.runtime, store: this.#store }
    const rows = networked ? remoteMemory({ ...options, clock }) : memory(options)
    this.#clocks = clocks
    this.rows = ordered ? rows : withoutOrder(rows)
    this.runtime = runtime
    this.history = new History(() => runtime.now(), clocks)
    this.ledger = new Ledger(this.history)
  }

  /** Another program writes. */
  async writeElsewhere(key: string, text: string, ttlMs: number | undefined): Promise<void> {
    const expiry = ttlMs === undefined ? {} : { expiresAt: this.#clocks.now() + ttlMs }
    this.ledger.begin("put", key, text)
    await this.put(key, { value: Buffer.from(text), id: writeId(this.runtime, false), ...expiry }, false)
  }

  async deleteElsewhere(key: string): Promise<void> {
    const call = this.ledger.begin("delete", key)
    const removing = () => this.delete(key, { id: writeId(this.runtime, false) }, false)
    await writing.run(new Map([[key, call]]), removing)
  }

  /** The service loses all its rows and begins anew, with lower versions. */
  restart(): Promise<void> {
    return this.#alone(async () => {
      for (const key of this.#store.rows.keys()) this.history.apply(key, GONE)
      restart(this.#store)
    })
  }

  /** An attempt is sent: its identity is its own, or that of an attempt that certainly failed. */
  sent(key: string, id: string, call: WriteCall | undefined): void {
    if (this.#unanswered.has(id))
      this.ledger.breaks(call, `the identity of an attempt of unknown outcome was sent again for ${key}`)
  }

  unanswered(id: string): void {
    this.#unanswered.add(id)
  }

  put(key: string, write: Write, late: boolean): Promise<WriteResult> {
    return this.#alone(() => this.#put(key, write, late))
  }

  delete(key: string, removal: Removal, late: boolean): Promise<WriteResult> {
    return this.#alone(() => this.#delete(key, removal, late))
  }

  async #put(key: string, write: Write, late: boolean): Promise<WriteResult> {
    const { condition, expiresAt, id } = write
    const text = Buffer.from(write.value).toString()
    const isThere = (await this.#idOf(key)) === id
    const result = await this.rows.put(key, write)
    if (!result.applied || isThere) return result
    const { version } = result
    const index = this.history.apply(key, {
      text,
      expiresAt,
      version,
      unconditional: condition === undefined,
    })
    this.ledger.took(this.ledger.callOf(key, text), { index, version, condition, late })
    return result
  }

  async #delete(key: string, removal: Removal, late: boolean): Promise<WriteResult> {
    const { condition } = removal
    const wasThere = this.history.live(key) !== undefined
    const result = await this.rows.delete(key, removal)
    if (!result.applied || !wasThere) return result
    const isGone = (await this.rows.get(key)) === undefined
    if (!isGone) return result
    const index = this.history.apply(key, GONE)
    const call = this.ledger.callOf(key, undefined)
    this.ledger.took(call, { index, version: undefined, condition, late })
    return result
  }

  /** Applies one write after the other, so that the history has their order. */
  #alone<T>(apply: () => Promise<T>): Promise<T> {
    const applied = this.#applied.then(apply)
    this.#applied = applied.catch(() => {})
    return applied
  }

  async #idOf(key: string): Promise<string | undefined> {
    const head = (await this.rows.probe([key])).get(key)
    if (head instanceof Error) throw head
    return head?.id
  }
}

/** The state of a key whose row was removed. */
const GONE = { text: undefined, expiresAt: undefined, version: undefined, unconditional: false }

/** The same rows, whose versions are the identities of the attempts that wrote them. */
function withoutOrder({ compareVersions: _, ...rows }: Backend): Backend {
  const versionOf = (version: string) => version.slice(-32)
  const shown = <T extends { version?: string }>(one: T): T =>
    one.version === undefined ? one : { ...one, version: versionOf(one.version) }
  /** The condition on the row that has this version now, or one that does not hold. */
  const meant = async <C extends Condition>(key: string, condition: C | undefined) => {
    if (condition === undefined || !("version" in condition)) return condition
    const entry = await rows.get(key)
    if (entry === undefined || versionOf(entry.version) !== condition.version) return condition
    return { version: entry.version }
  }
  return {
    ...rows,
    traits: { ...rows.traits, ordered: false },
    async get(key) {
      const entry = await rows.get(key)
      return entry && shown(entry)
    },
    async getMany(keys) {
      const found = await rows.getMany(keys)
      return new Map(Array.from(found, ([key, one]) => [key, one instanceof Error ? one : shown(one)]))
    },
    async scan(prefix, page) {
      const { entries, ...rest } = await rows.scan(prefix, page)
      return { ...rest, entries: entries.map(shown) }
    },
    async probe(keys) {
      const heads = await rows.probe(keys)
      return new Map(Array.from(heads, ([key, head]) => [key, head instanceof Error ? head : shown(head)]))
    },
    async put(key, { condition, ...write }) {
      const held = await meant(key, condition)
      return shown(await rows.put(key, { ...write, ...(held === undefined ? {} : { condition: held }) }))
    },
    async delete(key, { condition, ...removal }) {
      const held = await meant(key, condition)
      const version = held !== undefined && "version" in held ? { condition: { version: held.version } } : {}
      return rows.delete(key, { ...removal, ...version })
    },
  }
}
