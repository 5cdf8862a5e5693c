import { KvError } from "../tiers/errors.ts"
import { L1 } from "../tiers/l1/l1.ts"
import { NONE } from "../tiers/l1/lru-slots.ts"
import { abortable } from "../tiers/util/abort.ts"
import { type Checks, checkOptions } from "../tiers/util/checks.ts"
import type {
  CallOptions,
  DeleteOptions,
  Entry,
  GetManyOptions,
  GetOrSetOptions,
  JsonReadOptions,
  Kv,
  KvValue,
  Loader,
  PutOptions,
  PutResult,
  ReadOptions,
  ScanOptions,
  ScanPageOptions,
  ScanPageResult,
  WriteOptions,
} from "./api.ts"
import type { TwoTier } from "./coherence/two-tier.ts"
import type { Parsed } from "./json.ts"
import type { Caller, Listener } from "./listener.ts"
import type { OpenStore } from "./open-store.ts"
import { bytes, type Form, json, mutableJson, text, whole } from "./operations/forms.ts"
import { getOrSet } from "./operations/get-or-set.ts"
import { checkKey } from "./operations/keys.ts"
import { ofExists, ofRead, ofStrongExists, ofStrongRead } from "./operations/outcomes.ts"
import { readMany } from "./operations/read-many.ts"
import { scanPage, scanPages } from "./operations/scans.ts"
import { deleteMany, deleteOne, put, setMany } from "./operations/writes.ts"
import { OPTIONS } from "./options.ts"
import type { KvStats } from "./stats.ts"

/**
 * One handle of a store. Handles of the same name share its tiers, which the close of the last one releases.
 * The method that was called answers an L1 hit itself, with one look-up. Every other read goes through {@link Store.#read}. The reads
 * of one key are not `async`, because a hit would pay for what only a miss awaits; `#read` is, so that every failure is a rejection.
 */
export class Store implements Kv {
  readonly name: string
  readonly #store: OpenStore
  readonly #tiers: TwoTier
  readonly #listener: Listener
  /** L1; after `close` an L1 that is always empty, so that a hit does not check whether the handle is closed. */
  #l1: L1
  readonly #closedL1: L1
  readonly #release: () => Promise<void>
  #closing: Promise<void> | undefined

  constructor(store: OpenStore, release: () => Promise<void>) {
    this.name = store.name
    this.#store = store
    this.#tiers = store.tiers
    this.#listener = store.listener
    this.#l1 = store.l1
    this.#closedL1 = new L1(undefined, store.runtime)
    this.#release = release
  }

  get(key: string, options?: ReadOptions): Promise<Uint8Array | undefined> {
    if (options === undefined) {
      const slot = this.#l1.find(key)
      if (slot !== NONE) {
        const answer = this.#l1.copyBytesAt(slot)
        this.#listener.onHit?.("get", key, answer.length)
        return Promise.resolve(answer)
      }
    }
    return this.#read("get", key, options, bytes)
  }

  getText(key: string, options?: ReadOptions): Promise<string | undefined> {
    if (options === undefined) {
      const slot = this.#l1.find(key)
      if (slot !== NONE) {
        const answer = this.#l1.textAt(slot)
        if (answer === undefined) return this.#decode("getText", key, slot, text)
        this.#listener.onHit?.("get", key, this.#l1.lengthAt(slot))
        return Promise.resolve(answer)
      }
    }
    return this.#read("getText", key, options, text)
  }

  getJson(key: string, options?: JsonReadOptions): Promise<Parsed | undefined> {
    if (options === undefined) {
      const slot = this.#l1.find(key)
      if (slot !== NONE) {
        const answer = this.#l1.jsonAt(slot)
        if (answer === undefined) return this.#decode("getJson", key, slot, json)
        this.#listener.onHit?.("get", key, this.#l1.lengthAt(slot))
        return Promise.resolve(answer as Parsed)
      }
    }
    return this.#read("getJson", key, options, options?.mutable ? mutableJson : json, OPTIONS.readJson)
  }

  getEntry(key: string, options?: ReadOptions): Promise<Entry | undefined> {
    if (options === undefined) {
      const slot = this.#l1.find(key)
      if (slot !== NONE) {
        const answer = whole.at(this.#l1, slot, "getEntry", key)
        this.#listener.onHit?.("get", key, answer.value.length)
        return Promise.resolve(answer)
      }
    }
    return this.#read("getEntry", key, options, whole)
  }

  async getMany(keys: Iterable<string>, options?: GetManyOptions): Promise<Map<string, Uint8Array>> {
    this.#checkCall("getMany", options, OPTIONS.readMany)
    return readMany(this.#store, "getMany", keys, options, bytes)
  }

  async getManyText(keys: Iterable<string>, options?: GetManyOptions): Promise<Map<string, string>> {
    this.#checkCall("getManyText", options, OPTIONS.readMany)
    return readMany(this.#store, "getManyText", keys, options, text)
  }

  async getManyJson(
    keys: Iterable<string>,
    options?: GetManyOptions & JsonReadOptions,
  ): Promise<Map<string, Parsed>> {
    this.#checkCall("getManyJson", options, OPTIONS.readManyJson)
    return readMany(this.#store, "getManyJson", keys, options, options?.mutable ? mutableJson : json)
  }

  peek(key: string): Uint8Array | undefined {
    const slot = this.#l1.find(key)
    if (slot === NONE) return this.#notHeld("peek", key)
    const answer = this.#l1.copyBytesAt(slot)
    this.#listener.onPeek?.()
    return answer
  }

  peekText(key: string): string | undefined {
    const slot = this.#l1.find(key)
    if (slot === NONE) return this.#notHeld("peekText", key)
    const answer = text.at(this.#l1, slot, "peekText", key)
    this.#listener.onPeek?.()
    return answer
  }

  peekJson(key: string): Parsed | undefined {
    const slot = this.#l1.find(key)
    if (slot === NONE) return this.#notHeld("peekJson", key)
    const answer = json.at(this.#l1, slot, "peekJson", key)
    this.#listener.onPeek?.()
    return answer
  }

  async exists(key: string, options?: ReadOptions): Promise<boolean> {
    this.#check("exists", key, options, OPTIONS.read)
    const strong = options?.consistency === "strong"
    if (!strong) {
      const slot = this.#l1.find(key)
      if (slot !== NONE) {
        this.#listener.onHit?.("exists", key, this.#l1.lengthAt(slot))
        return true
      }
      if (this.#tiers.lookUpAbsent(key) === null) {
        this.#listener.onHit?.("exists", key, undefined)
        return false
      }
    }
    const ask = (caller: Caller) =>
      abortable(this.#tiers.direct.exists(key, !strong, caller), options?.signal)
    return this.#listener.operation("exists", key, ask, strong ? ofStrongExists : ofExists, options?.signal)
  }

  async set(key: string, value: KvValue, options?: PutOptions): Promise<boolean> {
    this.#check("set", key, options, OPTIONS.put)
    return (await put(this.#store, "set", key, value, options)).applied
  }

  async put(key: string, value: KvValue, options?: PutOptions): Promise<PutResult> {
    this.#check("put", key, options, OPTIONS.put)
    return put(this.#store, "put", key, value, options)
  }

  async setMany(
    entries: Iterable<readonly [key: string, value: KvValue]>,
    options?: WriteOptions,
  ): Promise<void> {
    this.#checkCall("setMany", options, OPTIONS.write)
    return setMany(this.#store, entries, options)
  }

  async delete(key: string, options?: DeleteOptions): Promise<boolean> {
    this.#check("delete", key, options, OPTIONS.delete)
    return deleteOne(this.#store, key, options)
  }

  async deleteMany(keys: Iterable<string>, options?: CallOptions): Promise<void> {
    this.#checkCall("deleteMany", options, OPTIONS.signal)
    return deleteMany(this.#store, keys, options)
  }

  scan(prefix: string, options?: ScanOptions): AsyncGenerator<Entry, void, undefined> {
    return scanPages(this.#store, prefix, options, () => this.#checkCall("scan", options, OPTIONS.scan))
  }

  async scanPage(prefix: string, options?: ScanPageOptions): Promise<ScanPageResult> {
    this.#checkCall("scanPage", options, OPTIONS.scanPage)
    return scanPage(this.#store, "scanPage", prefix, options)
  }

  async getOrSet(
    key: string,
    loader: Loader<unknown>,
    options?: GetOrSetOptions,
  ): Promise<Parsed | undefined> {
    this.#check("getOrSet", key, options, OPTIONS.getOrSet)
    return (await getOrSet(this.#store, key, loader, options)) as Parsed | undefined
  }

  invalidate(key?: string): void {
    this.#checkOpen("invalidate")
    if (key === undefined) this.#tiers.invalidateAll()
    else {
      checkKey(key, "invalidate")
      this.#tiers.invalidate(key)
    }
  }

  stats(): KvStats {
    return this.#store.stats()
  }

  close(): Promise<void> {
    this.#l1 = this.#closedL1
    this.#closing ??= this.#release()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Every read that is no hit: checks the call, then reads from L1 or the backend according to the options. */
  async #read<T>(
    name: string,
    key: string,
    options: ReadOptions | undefined,
    form: Form<T>,
    checks: Checks = OPTIONS.read,
  ): Promise<T | undefined> {
    this.#check(name, key, options, checks)
    const strong = options?.consistency === "strong"
    if (!strong) {
      // Without options the caller has already looked for an entry in L1.
      const slot = options === undefined ? NONE : this.#l1.find(key)
      if (slot !== NONE) return this.#hit(name, key, slot, form)
      if (this.#tiers.lookUpAbsent(key) === null) {
        this.#listener.onHit?.("get", key, undefined)
        return undefined
      }
    }
    const operation = this.#listener.begin("get", key, options?.signal)
    const { caller } = operation
    const read = strong
      ? this.#tiers.direct.readStrong(key, caller)
      : this.#tiers.cached.read(key, true, caller)
    const answer = read instanceof Promise ? abortable(read, options?.signal) : read
    const ended = operation.ends(answer, strong ? ofStrongRead : ofRead)
    const entry = ended instanceof Promise ? await ended : ended
    return entry && form.of(this.#l1, entry, name, key)
  }

  #hit<T>(name: string, key: string, slot: number, form: Form<T>): T {
    const size = this.#l1.lengthAt(slot)
    const answer = form.at(this.#l1, slot, name, key)
    this.#listener.onHit?.("get", key, size)
    return answer
  }

  /** Answers a hit that L1 does not hold decoded. */
  async #decode<T>(name: string, key: string, slot: number, form: Form<T>): Promise<T> {
    return this.#hit(name, key, slot, form)
  }

  /** Counts a `peek` that found nothing, as other reads are. Throws if the call is not legal. */
  #notHeld(operation: string, key: string): undefined {
    this.#checkOpen(operation)
    checkKey(key, operation)
    this.#tiers.lookUpAbsent(key)
  }

  #check(operation: string, key: string, options: CallOptions | undefined, checks: Checks): void {
    this.#checkCall(operation, options, checks)
    checkKey(key, operation)
  }

  #checkCall(operation: string, options: CallOptions | undefined, checks: Checks): void {
    this.#checkOpen(operation)
    if (options === undefined) return
    checkOptions(options, checks, operation)
    options.signal?.throwIfAborted()
  }

  #checkOpen(operation: string): void {
    if (this.#closing === undefined) return
    throw new KvError("CLOSED", `The store "${this.name}" is closed; open it again with kv()`, { operation })
  }
}
