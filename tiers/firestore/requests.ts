/**
 * The three calls of the service that the backend uses, with plain values. They reject with what the SDK threw, or with `NotSent`; the backend
 * maps it. `rpc.ts` makes them from settings, `sdk.ts` from a client that the caller passed in.
 */
export interface FirestoreRequests {
  /** Reads documents by id, each with only `fields` if given. An absent document is `undefined`; one that the service left out is not in the map. */
  read(
    ids: readonly string[],
    limits: Limits,
    fields?: readonly string[],
  ): Promise<Map<string, FirestoreDocument | undefined>>
  /** Writes documents, all or none. Returns the update time of each, `undefined` for a deleted one. */
  commit(writes: readonly FirestoreWrite[], limits: Limits): Promise<(Instant | undefined)[]>
  /** Documents in the order of their ids. */
  query(range: IdRange, limit: number, limits: Limits): Promise<FirestoreDocument[]>
  /** Releases what was made for this backend; not a client that was passed in. */
  close(): Promise<void>
}

/** What ends a call early. */
export interface Limits {
  /** Longest time of the call, ms: waiting for a channel, sending, and the whole answer. With 0 or less nothing is sent. */
  readonly limitMs: number
  readonly signal?: AbortSignal | undefined
}

export interface FirestoreDocument {
  id: string
  fields: Readonly<Record<string, FieldValue | undefined>>
  /** Time of the commit that last changed the document. A later commit has a later time, by 1 µs or more. */
  updateTime: Instant
}

/** `null` represents a value of a type that no field of a row has. */
export type FieldValue = string | Uint8Array | Instant | null

/** A point in time, Unix. `nanos` is the part below a second, 0 to 999,999,999. */
export interface Instant {
  seconds: number
  nanos: number
}

export interface FirestoreWrite {
  id: string
  /** The whole content of the document; absent to delete it. */
  fields?: Readonly<Record<string, string | Instant>>
  /** `"absent"`: the document does not exist. A time: the document exists, and this is its update time. */
  precondition?: "absent" | Instant
}

/** Document ids from `from`, included, or from `after`, excluded, up to `before`, excluded. */
export interface IdRange {
  from?: string
  after?: string
  before?: string
}
