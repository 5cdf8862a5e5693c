import type { KvError } from "./errors.ts"

/**
 * The contract of a backend (L2): bytes under a key, with an absolute expiry and a version.
 *
 * What a backend promises, and the conformance suite checks:
 *
 * - **Reads are strongly consistent**, except with {@link RequestOptions.asOf}. A read that starts after a write resolved sees it or a later one.
 * - **Expiry is exact.** A row whose `expiresAt` is not after the backend's clock is absent to every read and every
 *   condition, whether or not the row is still stored. A clean-up removes it only under a condition, so that a value
 *   written meanwhile survives.
 * - **An outage is never a miss.** Only a recognised not-found is `undefined`; every other failure rejects with a
 *   {@link KvError} made by the backend, with the SDK's error as its `cause`.
 * - **Every attempt of a write has an identity** (`Write.id`), stored in the row. A conditional write that is delivered twice with one
 *   identity and meets its own row reports `applied: true`.
 * - **A write whose reply was lost** rejects with `OUTCOME_UNKNOWN`. Any other rejection means that the write was not applied
 *   and never will be. After `OUTCOME_UNKNOWN` a caller looks at the row with {@link Backend.probe}.
 * - **A request ends in time**: a backend cancels it at its limit, {@link RequestOptions.timeoutMs}.
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
   * The live entry under `key`, or `undefined`. In-process backends may answer without a promise, and then may throw.
   */
  get(key: string, request?: RequestOptions): MaybePromise<StoredEntry | undefined>

  /**
   * Like {@link Backend.get}, synchronous and without a copy: the bytes are valid until the next call of this backend. For backends
   * that read from memory of their own.
   */
  lend?(key: string): StoredEntry | undefined

  /**
   * The live entries of at most `traits.maxReadBatch` distinct keys. Absent keys are not in the map. A key that failed alone maps to
   * its error; a key that the service left unprocessed maps to `THROTTLED`. A failure of the whole request rejects.
   */
  getMany(keys: readonly string[], request?: RequestOptions): MaybePromise<Map<string, StoredEntry | KvError>>

  /** Whether `key` has a live entry. Reads no value if the service can leave it out. */
  exists(key: string, request?: RequestOptions): MaybePromise<boolean>

  /** Writes one entry, under its condition if it has one. A condition that does not hold is `applied: false`. */
  put(key: string, write: Write, request?: RequestOptions): Promise<WriteResult>

  /**
   * Unconditional writes, at most `traits.maxWriteBatch` of them, keys distinct. Every key is in the map, with its
   * result or its own error (`THROTTLED` if the service left it unprocessed, `OUTCOME_UNKNOWN` if its reply was lost).
   */
  putMany(
    writes: ReadonlyMap<string, Write>,
    request?: RequestOptions,
  ): Promise<Map<string, WriteResult | KvError>>

  /** Removes one entry, under its condition if it has one. Without a condition it is `applied` even if the key was absent. */
  delete(key: string, removal: Removal, request?: RequestOptions): Promise<WriteResult>

  /** Unconditional deletes of at most `traits.maxWriteBatch` keys; the map is as for {@link Backend.putMany}. */
  deleteMany(
    removals: ReadonlyMap<string, Removal>,
    request?: RequestOptions,
  ): Promise<Map<string, WriteResult | KvError>>

  /**
   * One page of the live entries whose key starts with `prefix`, in any order. A page may hold fewer entries than `limit`, or none, and
   * still have a `next`. Over all pages, a key that was present during the whole scan comes exactly once.
   */
  scan(prefix: string, page: ScanRequest): Promise<ScanPage>

  /**
   * The heads of the rows under at most `traits.maxWriteBatch` distinct keys, whether or not they have expired, without their values. A key
   * without a row is not in the map; a key that failed alone maps to its error. A strongly consistent read, used after
   * `OUTCOME_UNKNOWN`.
   */
  probe(keys: readonly string[], request?: RequestOptions): Promise<Map<string, RowHead | KvError>>

  /**
   * The time of the service now, on the clock that {@link RowHead.writtenAt} of the row under `key` is on, as far as this process knows it
   * from earlier answers; `undefined` if it knows nothing. Sends nothing.
   */
  serviceTime?(key: string): ServiceTime | undefined

  /**
   * A replica has everything that the service applied before this moment, on the monotonic clock of the runtime; `undefined`: none is known to.
   * It never goes back. For backends with replicas; the caller waits for nothing.
   */
  replicatedUntil?(): number | undefined

  /**
   * Orders two versions of one key by the time of their writes: negative if `a` is older. Present exactly if `traits.ordered` is
   * `true`.
   */
  compareVersions?(a: string, b: string): number

  /** Releases what the backend made. A client that the caller passed in stays open. Idempotent; the backend can be opened again. */
  close(): Promise<void>
}

export type MaybePromise<T> = T | Promise<T>

/** How one request is made. */
export interface RequestOptions {
  /**
   * For `get` and `getMany`: the answer may lack what the service applied after this moment, on the monotonic clock of the runtime, so that a
   * replica may give it. {@link Backend.replicatedUntil} has returned it. @default the answer is strongly consistent
   */
  asOf?: number | undefined
  /** The callers of a read. Wrappers pass them on, backends ignore them. */
  callers?: Callers | undefined
  /**
   * For `getMany`: is called with keys that are settled while others are requested again, and with what was found under them. Wrappers
   * use it, backends ignore it.
   */
  early?: ((keys: readonly string[], found: Map<string, StoredEntry | KvError>) => void) | undefined
  /**
   * Longest time of the request, ms: waiting in the client, sending it, and receiving the whole answer. At its end the backend cancels the
   * request and rejects: a read with `TIMEOUT`; a write with `OUTCOME_UNKNOWN`, or with `UNAVAILABLE` if it was certainly not sent.
   * A request that has left the process cannot be recalled, so a cancelled write may still be applied.
   * @default the option `requestTimeoutMs` of the backend
   */
  timeoutMs?: number | undefined
}

/** Identifies the callers of a read to the listener of the store, in the order of their calls. */
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
  /**
   * Identity of this attempt: 32 hexadecimal digits of `writeId`. A write that is sent again after an attempt of unknown outcome has a
   * new one, so that no version is used twice.
   */
  id: string
  /** Unix ms; absent if the entry does not expire. A write without it clears an expiry that was there. */
  expiresAt?: number
  condition?: Condition
  /** A version of the key that this process knew when the write began. Wrappers use it, backends ignore it. */
  seen?: string | undefined
}

export interface Removal {
  /** Identity of this attempt, as {@link Write.id}. */
  id: string
  condition?: { version: string }
  /** As {@link Write.seen}. */
  seen?: string | undefined
}

/** The head of a row, live or expired. */
export interface RowHead {
  /** Identity of the attempt that wrote the row; absent in a row of another program. */
  id?: string | undefined
  /** The version, as a read returns it. */
  version: string
  /** Whether the version is derived from the content of the row, so that it can come back. */
  recurs?: boolean
  /** Whether the row has not expired. */
  live: boolean
  /** When the row was written; absent if the backend cannot tell. */
  writtenAt?: ServiceTime | undefined
}

/**
 * A span of time on a clock of the service: an event was not before `earliest` and not after `latest`, Unix ms on that clock. A backend
 * includes the errors of the clock in the span.
 */
export interface ServiceTime {
  /**
   * Names the clock: a node of the service and one life of it. Only spans on the same clock can be compared. A restart, a failover, or a
   * clock that was set back is a new clock.
   */
  readonly clock: string
  readonly earliest: number
  readonly latest: number
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

export interface ScanRequest extends RequestOptions {
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
  /**
   * Identifies the rows among all that this process reaches: backends with equal roots have the same rows, and their stores tell each other of writes.
   * A text names the kind, the endpoint and the table, never a credential; an object is equal to itself alone. It is read after the
   * opening. @default the backend itself
   */
  readonly root?: string | object
  /**
   * Names the rows within the service, the same in every process, however it reaches the service: the stores over a bus meet under this name.
   * @default {@link BackendTraits.target}
   */
  readonly rows?: string
  /** What precedes each key in the rows of {@link BackendTraits.root}. @default "" */
  readonly keyPrefix?: string
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
  /** The names of the scripts or procedures that calls run on the server, for spans. @default none */
  readonly procedures?: Readonly<Partial<Record<BackendOperation, string>>>
  /** The same of a {@link Backend.delete} with a condition, which may be another call than one without. @default that of `delete` */
  readonly conditionalDelete?: { readonly call: string; readonly procedure?: string }
  /**
   * Where the entries are stored, for spans. It is read after the opening.
   * @default {}: spans have only the name of the call
   */
  readonly place?: Place
  /**
   * What the service says in `error`, an error of the SDK, in attributes of OpenTelemetry's conventions: `db.response.status_code` and the
   * id of the request. @default nothing
   */
  readonly responseAttributes?: (error: unknown) => Readonly<Record<string, string>>
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
  /** `cloud.region` */
  readonly region?: string
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
