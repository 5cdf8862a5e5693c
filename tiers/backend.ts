import type { KvError } from "./errors.ts"

/**
 * The contract of a backend (L2): bytes under a key, with an absolute expiry and a version.
 *
 * What a backend promises, and the conformance suite checks:
 *
 * - **Reads are strongly consistent.** A read that starts after a write resolved sees that write or a later one.
 * - **Expiry is exact.** A row whose `expiresAt` is not after the backend's clock is absent to every read and every
 *   condition, whether or not the row is still stored. A clean-up removes it only under a condition, so that a value
 *   written meanwhile survives.
 * - **An outage is never a miss.** Only a recognised not-found is `undefined`; every other failure rejects with a
 *   {@link KvError} made by the backend, with the SDK's error as its `cause`.
 * - **A write has an identity** (`Write.id`), stored in the row. A conditional write that was sent twice and meets its own row
 *   reports `applied: true`.
 * - **A write whose reply was lost** rejects with `OUTCOME_UNKNOWN`. Any other rejection means that the write was not applied
 *   and never will be. After `OUTCOME_UNKNOWN` a caller asks {@link Backend.wasWrittenBy}.
 * - Callers have checked keys, values and TTLs; a backend need not check them again.
 *
 * Time and chance are inputs: a backend takes a `Runtime` and reads no clock of its own.
 */
export interface Backend {
  readonly traits: BackendTraits

  /**
   * Loads the SDK, opens the file. Called before any other method; calling it again is harmless, and opens the backend
   * anew after it was closed.
   * Rejects with `DEPENDENCY_MISSING`, `BINDING_INVALID`, `ACCESS_DENIED` or `UNAVAILABLE`.
   */
  open(): Promise<void>

  /**
   * The live entry under `key`, or `undefined`. In-process backends may answer without a promise, and then may throw. Wrappers
   * pass `callers` on, backends ignore them.
   */
  get(key: string, callers?: Callers): MaybePromise<StoredEntry | undefined>

  /**
   * Like {@link Backend.get}, synchronous and without a copy: the bytes are valid until the next call of this backend. For backends
   * that read from memory of their own.
   */
  lend?(key: string): StoredEntry | undefined

  /**
   * The live entries of at most `traits.maxReadBatch` distinct keys. Absent keys are not in the map. A key that failed alone maps to
   * its error; a key that the service left unprocessed maps to `THROTTLED`. A failure of the whole request rejects. `callers` is as
   * for {@link Backend.get}.
   */
  getMany(keys: readonly string[], callers?: Callers): MaybePromise<Map<string, StoredEntry | KvError>>

  /** Whether `key` has a live entry. Reads no value if the service can leave it out. */
  exists(key: string): MaybePromise<boolean>

  /** Writes one entry, under its condition if it has one. A condition that does not hold is `applied: false`. */
  put(key: string, write: Write): Promise<WriteResult>

  /**
   * Unconditional writes, at most `traits.maxWriteBatch` of them, keys distinct. Every key is in the map, with its
   * result or its own error (`THROTTLED` if the service left it unprocessed, `OUTCOME_UNKNOWN` if its reply was lost).
   */
  putMany(writes: ReadonlyMap<string, Write>): Promise<Map<string, WriteResult | KvError>>

  /** Removes one entry, under its condition if it has one. Without a condition it is `applied` even if the key was absent. */
  delete(key: string, removal: Removal): Promise<WriteResult>

  /** Unconditional deletes of at most `traits.maxWriteBatch` keys; the map is as for {@link Backend.putMany}. */
  deleteMany(removals: ReadonlyMap<string, Removal>): Promise<Map<string, WriteResult | KvError>>

  /**
   * One page of the live entries whose key starts with `prefix`, in any order. A page may hold fewer entries than `limit`, or none, and
   * still have a `next`. Over all pages, a key that was present during the whole scan comes exactly once.
   */
  scan(prefix: string, page: ScanRequest): Promise<ScanPage>

  /**
   * Whether the write or the conditional delete with this `id` left the row under `key`, expired or not. A strongly consistent read, used
   * after `OUTCOME_UNKNOWN`.
   */
  wasWrittenBy(key: string, id: string): Promise<boolean>

  /**
   * Orders two versions of one key by the time of their writes: negative if `a` is older. Present exactly if `traits.ordered` is
   * `true`.
   */
  compareVersions?(a: string, b: string): number

  /** Releases what the backend made. A client that the caller passed in stays open. Idempotent; the backend can be opened again. */
  close(): Promise<void>
}

export type MaybePromise<T> = T | Promise<T>

/**
 * Identifies the callers of a read to the listener of the store, in the order of their calls. A wrapper passes them on, a backend
 * ignores them.
 */
export type Callers = readonly unknown[]

export interface StoredEntry {
  /** The bytes that were written. The receiver owns them. */
  value: Uint8Array
  /** Identifies the write that left this entry. New on every write, at most 120 characters of visible ASCII. */
  version: string
  /** Unix ms; absent if the entry does not expire. */
  expiresAt?: number
}

export interface Write {
  value: Uint8Array
  /** Identity of this write: 32 hexadecimal digits, the same when the write is sent again. */
  id: string
  /** Unix ms; absent if the entry does not expire. A write without it clears an expiry that was there. */
  expiresAt?: number
  condition?: Condition
}

export interface Removal {
  /** Identity of this removal: 32 hexadecimal digits, the same when the removal is sent again. */
  id: string
  condition?: { version: string }
}

/** `absent`: the key has no live entry. `version`: the live entry of the key has this version. */
export type Condition = { absent: true } | { version: string }

export interface WriteResult {
  /** `false` only if a condition did not hold. */
  applied: boolean
  /** The version of the entry that was written; absent if nothing was written, or if the version is not known. */
  version?: string
  /** An earlier attempt of this write got no answer, and the service may still apply it. */
  mayLandLate?: true
}

export interface ScanRequest {
  /** Entries a page, at most; 1 or more. */
  limit: number
  /** The `next` of the previous page; absent for the first. Any other string rejects with `INVALID_CURSOR`. */
  cursor?: string
  /** Aborts the scan: it rejects with the reason of the signal. */
  signal?: AbortSignal
}

export interface ScanPage {
  entries: KeyedEntry[]
  /** Where the next page starts, in any form from which a backend in any process can resume; absent after the last page. */
  next?: string
}

export interface KeyedEntry extends StoredEntry {
  key: string
}

/** What a backend can do: declared, never detected. */
export interface BackendTraits {
  /** Name of the backend: `dynamodb`, `redis`, … */
  readonly kind: string
  /** The table, collection, path or prefix, for messages and spans; never a credential. */
  readonly target: string
  /** `db.system.name` of the OpenTelemetry conventions: `aws.dynamodb`, `redis`, … */
  readonly system: string
  /** Whether it runs in this process. If not, the store batches its reads, sets deadlines and sends calls again. */
  readonly inProcess: boolean
  /** Whether {@link Backend.compareVersions} orders the versions of a key. */
  readonly ordered: boolean
  /** Keys in one {@link Backend.getMany}: the service's own limit, or 1 where it has no batched read. */
  readonly maxReadBatch: number
  /** Keys in one {@link Backend.putMany} or {@link Backend.deleteMany}. */
  readonly maxWriteBatch: number
  /** The service's names of the calls behind the methods, for spans: `{ get: "GetItem", getMany: "BatchGetItem", … }`. */
  readonly calls: Readonly<Record<BackendOperation, string>>
  /** Where the entries are stored, for spans. @default {}: spans have only the name of the call */
  readonly place?: Place
  /** What the service bills for a call. @default none: capacity is not counted */
  readonly tariff?: Tariff
}

/** Where the entries of a backend are stored, in the attributes of OpenTelemetry's database conventions; never a credential. */
export interface Place {
  /** `db.collection.name`: the table or the collection. */
  readonly collection?: string
  /** `db.namespace`: what the collection is part of. */
  readonly namespace?: string
  /** `server.address`: name or address of the server. */
  readonly address?: string
  /** `server.port` */
  readonly port?: number
}

/**
 * What a service bills for a call, in its own units and by its published rules, computed from the answer. A lower bound: the answer does not
 * show an expired row that was read, a condition that did not hold, or the size of a row that was overwritten.
 */
export interface Tariff {
  /** Whether deletes are billed separately from writes. */
  readonly billsDeletesApart: boolean
  /** Units of one read; `entry` is `undefined` if the key was absent. */
  read(key: string, entry: StoredEntry | undefined): number
  /** Units of one page of a scan. */
  page(entries: readonly KeyedEntry[]): number
  /** Units of one write. */
  write(key: string, write: Write): number
  /** Units of one delete. */
  delete(key: string): number
}

export type BackendOperation =
  | "get"
  | "getMany"
  | "exists"
  | "put"
  | "putMany"
  | "delete"
  | "deleteMany"
  | "scan"
