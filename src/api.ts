import type { TelemetryOptions } from "../telemetry/options.ts"
import type { Backend } from "../tiers/backend.ts"
import type { Runtime } from "../tiers/runtime.ts"
import type { StoreStats } from "./counters.ts"

/** Anything that can be stored: text as UTF-8, bytes as they are, the rest as JSON. At most 24,576 bytes encoded. */
export type KvValue = string | Uint8Array | JsonInput

/** What `JSON.stringify` can represent. Checked when it is written, not by the type. */
export type JsonInput = number | boolean | null | object

export interface CallOptions {
  /** Stops waiting: the call rejects with the signal's reason. A write under way may still be applied. */
  signal?: AbortSignal
}

export interface ReadOptions extends CallOptions {
  /**
   * `"cached"` may answer from L1; `"strong"` always asks the backend, strongly consistent.
   * @default "cached"
   */
  consistency?: "cached" | "strong"
}

export interface JsonReadOptions extends ReadOptions {
  /**
   * `true` gives the caller a copy of its own; otherwise the value is deep-frozen and shared between callers.
   * @default false
   */
  mutable?: boolean
}

export interface GetManyOptions extends ReadOptions {
  /**
   * Whether keys read from the backend enter L1. Off by default, so that a large batch of cold keys evicts nothing.
   * @default false
   */
  fill?: boolean
}

export interface WriteOptions extends CallOptions {
  /** Milliseconds until the entry expires: a whole number of at least 1. Without it the entry does not expire. */
  ttlMs?: number
}

export interface PutOptions extends WriteOptions {
  /** Write only if no live entry is there. Always decided by the backend, never by L1. Excludes `ifVersion`. */
  ifNotExists?: boolean
  /** Write only if the live entry there has this version, from {@link Entry} or {@link PutResult}. */
  ifVersion?: string
}

export interface DeleteOptions extends CallOptions {
  /** Delete only if the live entry there has this version. */
  ifVersion?: string
}

export interface ScanOptions extends ScanPageOptions {
  /**
   * Whether the entries that pass by enter L1.
   * @default false
   */
  fill?: boolean
}

export interface ScanPageOptions extends CallOptions {
  /**
   * Entries a page, from 1 to 1,000. It bounds the page, not the result of {@link Kv.scan}.
   * @default 500
   */
  limit?: number
  /** A `nextCursor` of the same store and prefix. */
  cursor?: string
}

export interface Entry {
  key: string
  value: Uint8Array
  /** Opaque; for `ifVersion` on the same key, in any process. */
  version: string
  /** Unix ms; absent if the entry does not expire. */
  expiresAt?: number
}

export interface PutResult {
  /** `false` if the condition did not hold; nothing was written then. */
  applied: boolean
  /** The version of what was written. */
  version?: string
  /** Unix ms at which what was written expires. */
  expiresAt?: number
}

export interface ScanPageResult {
  entries: Entry[]
  /** Opaque, bound to this store and prefix; absent after the last page. */
  nextCursor?: string
}

export interface LoadContext {
  key: string
  /** Aborted once no caller waits for the load any more, or the store closes. */
  signal: AbortSignal
}

/**
 * Gets the value of an absent key from its origin. `undefined` means that there is none: nothing is stored.
 *
 * One loader of a key runs at a time in a process, so one that ignores its signal and never ends holds up its key. A loader
 * may ask the store for other keys, and passes its signal on when it does: two loaders that would wait for each other are
 * then refused with `INVALID_OPTION`, which before Node 24 cannot be told without the signal.
 */
export type Loader<T> = (context: LoadContext) => T | undefined | Promise<T | undefined>

export interface GetOrSetOptions extends JsonReadOptions {
  /** Time to live of a loaded value, ms: a whole number of at least 1. Without it the value does not expire. */
  ttlMs?: number
  /**
   * How the value is stored and comes back: exactly as the loader returned it, on the first call and on every later one.
   * @default "json"
   */
  as?: "json" | "text" | "bytes"
  /**
   * A hit with less than this left to live, in ms, is answered at once and loaded anew in the background. The new value
   * is written only over the very version that was hit. Needs `ttlMs`, and is less than that. After a refresh that failed
   * the next one waits for up to a second, doubled with every further failure up to 30 s.
   * @default 0 (never)
   */
  refreshAheadMs?: number
}

/** A key-value store of two tiers. Made by {@link kv}. Every method is safe to call concurrently. */
export interface Kv extends AsyncDisposable {
  /** The name that the store was opened under. */
  readonly name: string

  /**
   * The bytes under `key`, the caller's own copy, or `undefined` if there is no live entry. Of up to 4 KiB they are a view
   * of a longer `ArrayBuffer`, as with `Buffer.from`: read them through the array, not through its `buffer`.
   */
  get(key: string, options?: ReadOptions): Promise<Uint8Array | undefined>
  /** The value as text. Bytes that are not UTF-8 reject with `INVALID_VALUE`. */
  getText(key: string, options?: ReadOptions): Promise<string | undefined>
  /** The value parsed as JSON, deep-frozen and shared. A value that is not JSON rejects with `INVALID_VALUE`. */
  getJson<T = unknown>(key: string, options?: JsonReadOptions): Promise<T | undefined>
  /** The value with its version and expiry. */
  getEntry(key: string, options?: ReadOptions): Promise<Entry | undefined>

  /** The keys that are present, with their bytes. Any number of keys; duplicates are allowed. */
  getMany(keys: Iterable<string>, options?: GetManyOptions): Promise<Map<string, Uint8Array>>
  getManyText(keys: Iterable<string>, options?: GetManyOptions): Promise<Map<string, string>>
  getManyJson<T = unknown>(
    keys: Iterable<string>,
    options?: GetManyOptions & JsonReadOptions,
  ): Promise<Map<string, T>>

  /** L1 alone, synchronously: the bytes, or `undefined` if L1 holds no fresh value. Says nothing about the backend. */
  peek(key: string): Uint8Array | undefined
  peekText(key: string): string | undefined
  peekJson<T = unknown>(key: string): T | undefined

  /** Whether a live entry is there. Reads no value. */
  exists(key: string, options?: ReadOptions): Promise<boolean>

  /**
   * Writes through to the backend and drops the key from L1. Resolves once the backend has acknowledged: `true` if the
   * write was applied, `false` if its condition did not hold. A failure rejects, it is never `true`.
   */
  set(key: string, value: KvValue, options?: PutOptions): Promise<boolean>
  /** As {@link Kv.set}, with the version and the expiry of what was written. */
  put(key: string, value: KvValue, options?: PutOptions): Promise<PutResult>
  /** Writes any number of entries; of a key that comes twice, the last. Some failing reject with {@link KvPartialError}. */
  setMany(entries: Iterable<readonly [key: string, value: KvValue]>, options?: WriteOptions): Promise<void>

  /** Removes the entry. `true` if it is gone, also if it was not there; `false` if `ifVersion` did not hold. */
  delete(key: string, options?: DeleteOptions): Promise<boolean>
  /** Removes any number of entries. Some failing reject with {@link KvPartialError}. */
  deleteMany(keys: Iterable<string>, options?: CallOptions): Promise<void>

  /** Every live entry whose key starts with `prefix` (`""` for all), page by page as the loop asks for them. */
  scan(prefix: string, options?: ScanOptions): AsyncGenerator<Entry, void, undefined>
  /** One page of a scan. */
  scanPage(prefix: string, options?: ScanPageOptions): Promise<ScanPageResult>

  /**
   * The value under `key`, or what `loader` gives, which is stored if the key is still absent by then and nobody wrote
   * or deleted it meanwhile. One load per key per process runs at a time. The loader's error passes through untouched.
   */
  getOrSet<T>(key: string, loader: Loader<T>, options?: GetOrSetOptions): Promise<T | undefined>

  /** Drops `key`, or everything, from L1 of this process; the backend keeps it. For writers that go around the store. */
  invalidate(key?: string): void

  /** Counters and latencies per tier, since the store was opened. */
  stats(): StoreStats

  /**
   * Closes this handle; the last one of a store waits for what is in flight and releases it. Idempotent; afterwards every
   * call rejects with `CLOSED`.
   */
  close(): Promise<void>
}

export interface L1Options {
  /** Entries held at most, absent keys not counted. @default 10_000 */
  maxEntries?: number
  /** Bytes held at most: keys, values and their decoded forms. @default 67_108_864 (64 MiB) */
  maxBytes?: number
  /** How long an entry answers without the backend, ms. This bounds the staleness of other processes' writes. @default 5_000 */
  ttlMs?: number
  /** The same for keys known to be absent, ms; 0 turns that off. They have a budget of their own. @default 1_000 */
  negativeTtlMs?: number
  /** Shortens each time to live by a random part of up to this share, so that entries do not expire together. @default 0.1 */
  jitter?: number
}

export interface KvOptions {
  /** A URL (`dynamodb://REGION/TABLE`, `redis://…`, `lmdb:PATH`, `memory:`, …) or a backend; one passed in stays open on close. */
  backend?: string | Backend
  /** The in-process tier; `false` turns it off. */
  l1?: L1Options | false
  /** Time a call to the backend may take in all, its retries included, ms. @default 5_000 */
  timeoutMs?: number
  /** How long after an unanswered write L1 keeps away from its key, ms: as long as it may still land. @default 30_000 */
  quarantineMs?: number
  /** What the store tells OpenTelemetry; `false` for nothing. Keys are left out unless asked for. @default {} */
  telemetry?: TelemetryOptions | false
  /** Clocks, timers and chance, for tests. @default the system's */
  runtime?: Runtime
}
