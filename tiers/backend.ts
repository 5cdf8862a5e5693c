import type { KvError } from "./errors.ts"

/**
 * The contract of a backend (L2): bytes under a key, with an absolute expiry and a version.
 *
 * What a backend promises, and the conformance suite checks:
 *
 * - **Reads are strongly consistent.** A read that starts after a write resolved sees that write or a later one.
 * - **Expiry is exact.** A row whose `expiresAt` is not after the backend's clock is absent to every read and every
 *   condition, whether or not it still lies there. It is removed only by a conditional delete, so that a value
 *   written meanwhile survives.
 * - **An outage is never a miss.** Only a recognised not-found is `undefined`; anything else rejects with a
 *   {@link KvError} made at the backend's own edge, with the SDK's error as its `cause`.
 * - **A write has an identity** (`Write.id`), stored in the row. A write that was sent twice and meets its own row
 *   reports `applied: true`.
 * - **A write whose reply was lost** rejects with `OUTCOME_UNKNOWN`. Any other rejection means that it was not applied
 *   and never will be. {@link Backend.carries} settles what can be settled.
 * - Keys, values and TTLs are checked before they get here; a backend need not check them again.
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
   * The live entry under `key`, or `undefined`. In-process backends may answer without a promise. Wrappers pass `callers`
   * on, backends ignore them.
   */
  get(key: string, callers?: Callers): MaybePromise<StoredEntry | undefined>

  /**
   * As {@link Backend.get}, at once, for a caller who copies the bytes before the next call of this backend, which may
   * use their memory again. Only for backends that can save themselves a copy so.
   */
  lend?(key: string): StoredEntry | undefined

  /**
   * Many keys at once, duplicates already removed, at most `traits.maxReadBatch` of them. Absent keys are not in the
   * map. A key that failed alone maps to its error; a key that the service left unprocessed maps to `THROTTLED`.
   * A failure of the request as a whole rejects. `callers` is as for {@link Backend.get}.
   */
  getMany(keys: readonly string[], callers?: Callers): MaybePromise<Map<string, StoredEntry | KvError>>

  /** Whether a live entry is there; reads no value bytes where the service can leave them out. */
  exists(key: string): MaybePromise<boolean>

  /** Writes one entry, under its condition if it has one. */
  put(key: string, write: Write): Promise<WriteResult>

  /**
   * Unconditional writes, at most `traits.maxWriteBatch` of them, keys distinct. Every key is in the map, with its
   * result or its own error (`THROTTLED` if the service left it unprocessed, `OUTCOME_UNKNOWN` if its reply was lost).
   */
  putMany(writes: ReadonlyMap<string, Write>): Promise<Map<string, WriteResult | KvError>>

  /** Removes the entry, under its condition if it has one. Without a condition it is `applied` even if nothing was there. */
  delete(key: string, removal: Removal): Promise<WriteResult>

  /** Unconditional deletes, at most `traits.maxWriteBatch`; the map is as for {@link Backend.putMany}. */
  deleteMany(removals: ReadonlyMap<string, Removal>): Promise<Map<string, WriteResult | KvError>>

  /**
   * One page of the live entries whose key starts with `prefix`, in no promised order. A page may hold fewer entries than
   * `limit`, none included, and still have a `next`. Over all pages, a key that was there throughout comes exactly once.
   */
  scan(prefix: string, page: ScanRequest): Promise<ScanPage>

  /**
   * Whether the row under `key`, expired or not, was left there by the write or conditional delete with this `id`: a strongly consistent read,
   * asked after `OUTCOME_UNKNOWN`.
   */
  wasWrittenBy(key: string, id: string): Promise<boolean>

  /**
   * Orders two versions of one key by the time of their writes: negative if `a` is older. Only where
   * `traits.ordered`; without it an unknown order counts as "may be older".
   */
  compareVersions?(a: string, b: string): number

  /** Releases what the backend itself made. A client that the caller passed in stays open. Idempotent. */
  close(): Promise<void>
}

export type MaybePromise<T> = T | Promise<T>

/**
 * What the listener of a store knows the callers of a read by, the first caller's first. A wrapper passes them on, a
 * backend ignores them.
 */
export type Callers = readonly unknown[]

export interface StoredEntry {
  /** The bytes as they were written. Whoever receives them owns them. */
  value: Uint8Array
  /** Identifies the write that left this entry: new on every write, at most 120 characters of visible ASCII. */
  version: string
  /** Unix ms; absent means that the entry does not expire. */
  expiresAt?: number
}

export interface Write {
  value: Uint8Array
  /** Identity of this write: 32 hex digits, the same on every retry of it. */
  id: string
  /** Unix ms; absent means no expiry, and clears one that was there. */
  expiresAt?: number
  condition?: Condition
}

export interface Removal {
  /** Identity of this removal: 32 hex digits, the same on every retry of it. */
  id: string
  condition?: { version: string }
}

/** `absent`: no live entry is there. `version`: the live entry there has exactly this version. */
export type Condition = { absent: true } | { version: string }

export interface WriteResult {
  /** `false` only where a condition did not hold. */
  applied: boolean
  /** The version of the entry that was written; absent where nothing was written or it is not known. */
  version?: string
  /** An earlier attempt of this write was given up without an answer, and may still reach the service. */
  mayLandLate?: true
}

export interface ScanRequest {
  /** Entries a page, at most; 1 or more. */
  limit: number
  /** The `next` of the page before; absent for the first. A foreign one rejects with `INVALID_CURSOR`. */
  cursor?: string
  /** Stops the requests under way. */
  signal?: AbortSignal
}

export interface ScanPage {
  entries: KeyedEntry[]
  /** Where the next page starts; absent after the last. Any string that the backend can resume from, in any process. */
  next?: string
}

export interface KeyedEntry extends StoredEntry {
  key: string
}

/** What a backend can and cannot do: declared, never probed. */
export interface BackendTraits {
  /** Name of the backend: `dynamodb`, `redis`, … */
  readonly kind: string
  /** The table, collection, path or prefix, for messages and spans; never a credential. */
  readonly target: string
  /** `db.system.name` of the OpenTelemetry conventions: `aws.dynamodb`, `redis`, … */
  readonly system: string
  /** Whether it lives in this process, so that nothing need be batched, timed out or tried again. */
  readonly inProcess: boolean
  /** Whether {@link Backend.compareVersions} orders versions. */
  readonly ordered: boolean
  /** Keys in one {@link Backend.getMany}: the service's own limit, or 1 where it has no batched read. */
  readonly maxReadBatch: number
  /** Keys in one {@link Backend.putMany} or {@link Backend.deleteMany}. */
  readonly maxWriteBatch: number
  /** The service's names of the calls behind the methods, for spans: `{ get: "GetItem", getMany: "BatchGetItem", … }`. */
  readonly calls: Readonly<Record<BackendOperation, string>>
  /** Where the entries lie, for spans. @default {}: spans name the call alone */
  readonly place?: Place
  /** What the service bills for a call. @default none: capacity is not counted */
  readonly tariff?: Tariff
}

/** Where the entries of a backend lie, in the terms of OpenTelemetry's conventions for databases; never a credential. */
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
 * What a service bills, in its own units, by its published rules, as far as the answer shows it: at least so much. An
 * expired row that was read, a condition that did not hold and a larger row that was overwritten do not show.
 */
export interface Tariff {
  /** Whether deletes are billed apart from writes. */
  readonly billsDeletesApart: boolean
  /** Units of one key that was read; `entry` is `undefined` if it was absent. */
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
