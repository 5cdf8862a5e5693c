import type { TelemetryOptions } from "../telemetry/options.ts"
import type { Backend } from "../tiers/backend.ts"
import type { Bus } from "../tiers/buses/bus.ts"
import type { Runtime } from "../tiers/runtime.ts"
import type { StoreResilience } from "../tiers/wrappers/resilience/options.ts"
import type { Jsonified, Mutable, SharedJson } from "./json.ts"
import type { KvStats } from "./stats.ts"

/**
 * A value that can be stored: text as UTF-8, a `Uint8Array` as its bytes, anything else as JSON. At most 24,576 bytes encoded:
 * in base64 they fill the 32,768 characters of an Azure Tables property.
 */
export type KvValue = string | Uint8Array | JsonInput

/**
 * What JSON can represent. The write checks it, not the type: a cycle, `NaN`, -0 or a `Map`, at any depth, rejects with
 * `INVALID_VALUE`.
 */
export type JsonInput = number | boolean | null | object

export interface CallOptions {
  /** Aborting ends the wait: the call rejects with the signal's reason. A write under way may still be applied. */
  signal?: AbortSignal
}

export interface ReadOptions extends CallOptions {
  /**
   * `"cached"`: L1 may answer. `"strong"`: the backend answers, with a strongly consistent read that starts after the call.
   * @default "cached"
   */
  consistency?: "cached" | "strong"
}

export interface JsonReadOptions extends ReadOptions {
  /**
   * `true`: the value is parsed for this caller, who may change it. `false`: the value is deep-frozen and shared between callers.
   * @default false
   */
  mutable?: boolean
}

export interface GetManyOptions extends ReadOptions {
  /**
   * Whether the values read from the backend enter L1. `false` keeps a large batch of cold keys from evicting others.
   * @default false
   */
  fill?: boolean
}

export interface WriteOptions extends CallOptions {
  /** Milliseconds until the entry expires: a whole number of at least 1. Without it the entry does not expire. */
  ttlMs?: number
}

export interface PutOptions extends WriteOptions {
  /** Write only if the key has no live entry. The backend decides, never L1. Excludes `ifVersion`. */
  ifNotExists?: boolean
  /** Write only if the live entry of the key has this version, from {@link Entry} or {@link PutResult}. */
  ifVersion?: string
}

export interface DeleteOptions extends CallOptions {
  /** Delete only if the live entry of the key has this version. */
  ifVersion?: string
}

export interface ScanOptions extends ScanPageOptions {
  /**
   * Whether the entries of the pages enter L1.
   * @default false
   */
  fill?: boolean
}

export interface ScanPageOptions extends CallOptions {
  /**
   * Entries in one page, at most: 1 to 1,000. It does not bound the result of {@link Kv.scan}, which reads all pages.
   * @default 500
   */
  limit?: number
  /** The `nextCursor` of a page of the same store and prefix; another one rejects with `INVALID_CURSOR`. */
  cursor?: string
}

export interface Entry {
  key: string
  value: Uint8Array
  /** Opaque. Valid for `ifVersion` on the same key, in any process. */
  version: string
  /** Unix ms; absent if the entry does not expire. */
  expiresAt?: number
}

export interface PutResult {
  /** `false` if the condition did not hold and nothing was written. */
  applied: boolean
  /** The version of the entry that was written; absent if it is not known. */
  version?: string
  /** Unix ms at which the entry that was written expires; absent if it does not. */
  expiresAt?: number
  /**
   * `true`: an attempt of this write got no answer before another one was settled, and the service may still apply it, over what is written
   * next. L1 does not hold the key until `quarantineMs` have passed.
   */
  mayLandLate?: true
}

export interface ScanPageResult {
  entries: Entry[]
  /** Opaque, valid for this store and prefix in any process; absent after the last page. */
  nextCursor?: string
}

export interface LoadContext {
  key: string
  /** Aborted when no caller waits for the load any more, or when the store closes. */
  signal: AbortSignal
}

/**
 * Gets the value of an absent key from its origin. `undefined` means that the origin has no value; then nothing is stored.
 *
 * One loader of a key runs at a time in a process. A loader that ignores its signal and never ends blocks its key.
 *
 * A loader may call `getOrSet` for other keys, and should pass its signal on. If two loaders would wait for each other, the call
 * rejects with `INVALID_OPTION`. Before Node 24 this is detected only for calls that pass the signal on, or that are made
 * before the loader's first `await`.
 */
export type Loader<T> = (context: LoadContext) => T | undefined | Promise<T | undefined>

export interface GetOrSetOptions extends JsonReadOptions {
  /** Time to live of a loaded value, ms: a whole number of at least 1. Without this option the value does not expire. */
  ttlMs?: number
  /**
   * The form in which the value is stored and returned. The first call and every later one return what the loader returned; a value
   * that does not fit the form rejects with `INVALID_VALUE`.
   * @default "json"
   */
  as?: "json" | "text" | "bytes"
  /**
   * A hit whose entry expires in less than this time, ms, is answered at once, and the value is loaded again in the background. The
   * new value replaces only the version that was hit. Requires `ttlMs`, and must be less than it. After a failed refresh the next
   * one waits for up to 1 s; each further failure doubles the bound, up to 30 s.
   * @default 0 (never)
   */
  refreshAheadMs?: number
}

type As<Form extends string> = GetOrSetOptions & { as: Form }
type AsJson = GetOrSetOptions & { as?: "json" }

/** A key-value store of two tiers. Made by {@link kv}. Every method is safe to call concurrently. */
export interface Kv extends AsyncDisposable {
  /** The name that the store was opened under. */
  readonly name: string

  /**
   * The bytes under `key`, as a copy that the caller owns; `undefined` if the key has no live entry. A value of up to 4 KiB is a
   * view of a longer `ArrayBuffer`, as with `Buffer.from`: read it through the array, not through its `buffer`.
   */
  get(key: string, options?: ReadOptions): Promise<Uint8Array | undefined>
  /** The value as text. Rejects with `INVALID_VALUE` if the bytes are not UTF-8. */
  getText(key: string, options?: ReadOptions): Promise<string | undefined>
  /**
   * The value parsed as JSON, deep-frozen and shared between callers. `T` is what was written; it is not checked. Rejects with
   * `INVALID_VALUE` if the value is not JSON.
   */
  getJson<T = unknown>(key: string, options: JsonReadOptions & Mutable): Promise<Jsonified<T> | undefined>
  getJson<T = unknown>(key: string, options?: JsonReadOptions): Promise<SharedJson<T> | undefined>
  /** The value with its version and expiry. */
  getEntry(key: string, options?: ReadOptions): Promise<Entry | undefined>

  /**
   * The keys that have a live entry, with their bytes. Any number of keys; duplicates are allowed. Rejects if one of them cannot
   * be read.
   */
  getMany(keys: Iterable<string>, options?: GetManyOptions): Promise<Map<string, Uint8Array>>
  getManyText(keys: Iterable<string>, options?: GetManyOptions): Promise<Map<string, string>>
  getManyJson<T = unknown>(
    keys: Iterable<string>,
    options: GetManyOptions & JsonReadOptions & Mutable,
  ): Promise<Map<string, Jsonified<T>>>
  getManyJson<T = unknown>(
    keys: Iterable<string>,
    options?: GetManyOptions & JsonReadOptions,
  ): Promise<Map<string, SharedJson<T>>>

  /** The bytes in L1, synchronously; `undefined` if L1 holds no fresh value. The backend is not asked. */
  peek(key: string): Uint8Array | undefined
  peekText(key: string): string | undefined
  peekJson<T = unknown>(key: string): SharedJson<T> | undefined

  /** Whether the key has a live entry. Reads no value. */
  exists(key: string, options?: ReadOptions): Promise<boolean>

  /**
   * Writes to the backend and drops the key from L1. Resolves when the backend has acknowledged: `true` if the write was
   * applied, `false` if its condition did not hold. A failed write rejects; `OUTCOME_UNKNOWN` means that it may have been applied.
   */
  set(key: string, value: KvValue, options?: PutOptions): Promise<boolean>
  /** Like {@link Kv.set}, but resolves to the version and the expiry of the entry. */
  put(key: string, value: KvValue, options?: PutOptions): Promise<PutResult>
  /**
   * Writes any number of entries; if a key is given twice, the last value. Not atomic: if some keys fail, rejects with
   * {@link KvPartialError}, which lists the failed and the applied keys.
   */
  setMany(entries: Iterable<readonly [key: string, value: KvValue]>, options?: WriteOptions): Promise<void>

  /** Removes the entry. `true` if the key is absent afterwards, even if it was absent before; `false` if `ifVersion` did not hold. */
  delete(key: string, options?: DeleteOptions): Promise<boolean>
  /** Removes any number of entries. If some keys fail, rejects with {@link KvPartialError}. */
  deleteMany(keys: Iterable<string>, options?: CallOptions): Promise<void>

  /** Every live entry whose key starts with `prefix` (`""` for all). Each page is read when the loop reaches it. */
  scan(prefix: string, options?: ScanOptions): AsyncGenerator<Entry, void, undefined>
  /** One page of a scan. */
  scanPage(prefix: string, options?: ScanPageOptions): Promise<ScanPageResult>

  /**
   * The value under `key`. If the key is absent, the result of `loader`, which is stored if the key is still absent and this process
   * has not written or deleted it meanwhile. One load of a key runs at a time in a process. The loader's error is passed on
   * unchanged. If storing fails, the call rejects.
   */
  getOrSet(key: string, loader: Loader<string>, options: As<"text">): Promise<string | undefined>
  getOrSet(key: string, loader: Loader<Uint8Array>, options: As<"bytes">): Promise<Uint8Array | undefined>
  getOrSet<T>(key: string, loader: Loader<T>, options: AsJson & Mutable): Promise<Jsonified<T> | undefined>
  getOrSet<T>(key: string, loader: Loader<T>, options?: AsJson): Promise<SharedJson<T> | undefined>

  /** Drops `key`, or everything, from L1 of this process; the backend is not changed. For entries that another program wrote. */
  invalidate(key?: string): void

  /** Counters and latencies per tier, since the store was opened. */
  stats(): KvStats

  /**
   * Closes this handle; afterwards every call rejects with `CLOSED`. The last handle of a store waits for the calls under way, for
   * at most 5 s, and releases the store. Idempotent.
   */
  close(): Promise<void>
}

export interface L1Options {
  /** Maximum number of entries, from 1 to 33_554_431; absent keys are not counted. @default 10_000 */
  maxEntries?: number
  /** Maximum size, bytes, of at least 1: keys, values and their decoded forms, by estimate. @default 67_108_864 (64 MiB) */
  maxBytes?: number
  /**
   * Longest time for which L1 answers with an entry, ms, of at least 1: other processes' writes become visible after at most this
   * time. @default 5_000; 60_000 with a bus
   */
  ttlMs?: number
  /** The same for absent keys, ms; 0: absent keys are not held. They do not count towards `maxEntries`. @default 1_000 */
  negativeTtlMs?: number
  /**
   * Largest share by which each time to live in L1 is shortened at random, from 0 to below 1, so that entries do not expire together.
   * @default 0.1
   */
  jitter?: number
  /**
   * `true`: an acknowledged write leaves its value in L1, if L1 held the key when the write began, and no other write, invalidation or read of the
   * key came between. It pays where a process reads what it writes. `false`: a write only invalidates.
   * @default false
   */
  fillOnWrite?: boolean
}

export interface KvOptions extends StoreResilience {
  /**
   * A URL (`dynamodb://REGION/TABLE`, `redis://…`, `lmdb:PATH`, `memory:`, …), or a backend, which stays open when the store closes.
   * @default from the environment, see {@link kv}
   */
  backend?: string | Backend
  /** Settings of L1; `false` turns L1 off. @default {} */
  l1?: L1Options | false
  /**
   * `true`: `kv()` resolves although the server of the backend cannot be reached, and calls reject with `UNAVAILABLE` until it can be. It
   * concerns a backend made here that connects when it opens: Redis. Wrong credentials and the like reject in any case.
   * @default false: `kv()` rejects after the write's `timeoutMs`
   */
  openLazily?: boolean
  /**
   * How long L1 does not hold a key after a write of it that got no answer, ms: the time within which the service may still apply
   * the write. @default 30_000
   */
  quarantineMs?: number
  /**
   * `true`: the store plays another process. By default the stores of a process that have the same rows, whatever their names and options, forget
   * what one of them writes, in the same turn; an isolated one neither tells nor is told. For tests. @default false
   */
  isolated?: boolean
  /**
   * What carries invalidations between the processes that share the rows: the URL of a bus, or a bus such as `broadcastBus()`. Every process that
   * writes the rows has to use it. `false`: none, whatever the environment says.
   * @default the URL in the environment variable `KV_<NAME>_BUS`, or no bus
   */
  bus?: string | Bus | false
  /**
   * With a bus: `"bounded"`: L1 answers only while the bus confirms that no invalidation is missing, so that an answer is never older than
   * `stats().bus.stalenessBoundMs`. `"ttl"`: L1 answers for its time to live, whatever the bus does.
   * @default "bounded"
   */
  staleness?: "bounded" | "ttl"
  /** What the store reports to OpenTelemetry; `false`: nothing. Keys are not reported unless an option asks for it. @default {} */
  telemetry?: TelemetryOptions | false
  /** Clocks, timers and random numbers, for tests. @default those of the system */
  runtime?: Runtime
}
