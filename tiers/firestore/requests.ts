/**
 * The three calls of the service that the backend is made of, in plain values. They reject with what the SDK threw; the
 * backend maps it. `rpc.ts` makes them of settings, `sdk.ts` of a client that a caller passed in.
 */
export interface FirestoreRequests {
  /** Reads documents by id, each with `fields` alone if given: what came back, `undefined` for an absent document. */
  read(
    ids: readonly string[],
    fields?: readonly string[],
  ): Promise<Map<string, FirestoreDocument | undefined>>
  /** Writes documents, all or none; the update time of each, none after a delete. */
  commit(writes: readonly FirestoreWrite[]): Promise<(Instant | undefined)[]>
  /** Documents in the order of their ids. */
  query(range: IdRange, limit: number, signal: AbortSignal | undefined): Promise<FirestoreDocument[]>
  /** Releases what was made for this backend; not a client that was passed in. */
  close(): Promise<void>
}

export interface FirestoreDocument {
  id: string
  fields: Readonly<Record<string, FieldValue | undefined>>
  /** The commit that last changed the document: the service keeps these in order, a microsecond or more apart. */
  updateTime: Instant
}

/** `null` stands for a value of any type that no field of a row has. */
export type FieldValue = string | Uint8Array | Instant | null

/** A point in time, Unix. `nanos` counts on from `seconds`, 0 to 999,999,999. */
export interface Instant {
  seconds: number
  nanos: number
}

export interface FirestoreWrite {
  id: string
  /** All that the document shall hold; absent to delete it. */
  fields?: Readonly<Record<string, string | Instant>>
  /** `"absent"`: no document is there. A time: one is there, and was last changed then. */
  precondition?: "absent" | Instant
}

/** Document ids from `from`, included, or from `after`, excluded, up to `before`, excluded. */
export interface IdRange {
  from?: string
  after?: string
  before?: string
}
