import type {
  DocumentReference,
  DocumentSnapshot,
  Firestore,
  Query,
  WriteBatch,
} from "@google-cloud/firestore"
import type { Runtime } from "../runtime.ts"
import { abortable } from "../util/abort.ts"
import { within } from "../util/deadline.ts"
import { GRPC } from "./errors.ts"
import type {
  FieldValue,
  FirestoreDocument,
  FirestoreRequests,
  FirestoreWrite,
  IdRange,
  Instant,
} from "./requests.ts"
import { loadSdk, type Sdk } from "./settings.ts"

/**
 * The requests over a client that the caller passed in, by its public methods. They repeat failed requests for minutes, and have no option
 * against that: after `requestTimeoutMs` the backend stops waiting, but a write without an answer may still take effect much later. A failed
 * read is repeated for seven seconds after any failure, unless the client was made with `gaxServerStreamingRetries: true`. Settings
 * instead of a client avoid both.
 */
export async function sdkRequests(
  client: Firestore,
  collection: string,
  runtime: Runtime,
  requestTimeoutMs: number,
): Promise<FirestoreRequests> {
  const { sdk } = await loadSdk()
  const rows = client.collection(collection)
  const inTime = <T>(answer: Promise<T>) =>
    within(runtime, answer, requestTimeoutMs, () => new NoAnswer(requestTimeoutMs))

  return {
    async read(ids, fields) {
      if (ids.length === 0) return new Map()
      const references = ids.map((id) => rows.doc(id))
      const snapshots = await inTime(
        client.getAll(...references, ...(fields === undefined ? [] : [{ fieldMask: [...fields] }])),
      )
      return new Map(snapshots.map((snapshot) => [snapshot.id, toDocument(snapshot)]))
    },

    async commit(writes) {
      const batch = client.batch()
      for (const write of writes) addWrite(batch, rows.doc(write.id), write, sdk)
      const results = await inTime(batch.commit())
      return results.map(({ writeTime }) => toInstant(writeTime))
    },

    async query(range, limit, signal) {
      const answer = inTime(inRange(rows.orderBy(sdk.FieldPath.documentId()), range).limit(limit).get())
      const { docs } = await abortable(answer, signal)
      return docs.flatMap((snapshot) => toDocument(snapshot) ?? [])
    },

    async close() {},
  }
}

/** As gRPC puts it, so that it is mapped as gRPC's own. */
class NoAnswer extends Error {
  readonly code = GRPC.DEADLINE_EXCEEDED

  constructor(requestTimeoutMs: number) {
    super(`the Firestore client gave no answer within ${requestTimeoutMs} ms`)
  }
}

function toDocument(snapshot: DocumentSnapshot): FirestoreDocument | undefined {
  const { id, updateTime } = snapshot
  const data = snapshot.data()
  if (data === undefined || updateTime === undefined) return undefined
  const fields = Object.entries(data).map(([field, value]) => [field, toFieldValue(value)] as const)
  return { id, fields: Object.fromEntries(fields), updateTime: toInstant(updateTime) }
}

function toFieldValue(value: unknown): FieldValue | undefined {
  if (typeof value === "string" || value instanceof Uint8Array) return value
  if (value === null) return undefined
  return isTimestamp(value) ? toInstant(value) : null
}

interface TimestampParts {
  readonly seconds: number
  readonly nanoseconds: number
}

/** Checks the shape, not the class, because two copies of the SDK have different classes. */
function isTimestamp(value: unknown): value is TimestampParts {
  if (typeof value !== "object" || value === null || !("seconds" in value && "nanoseconds" in value))
    return false
  return typeof value.seconds === "number" && typeof value.nanoseconds === "number"
}

function toInstant({ seconds, nanoseconds }: TimestampParts): Instant {
  return { seconds, nanos: nanoseconds }
}

function addWrite(
  batch: WriteBatch,
  reference: DocumentReference,
  { fields, precondition }: FirestoreWrite,
  { FieldValue, Timestamp }: Sdk,
): void {
  const toTimestamp = ({ seconds, nanos }: Instant) => new Timestamp(seconds, nanos)
  const lastUpdateTime = typeof precondition === "object" ? toTimestamp(precondition) : undefined
  if (fields === undefined) {
    if (lastUpdateTime === undefined) batch.delete(reference)
    else batch.delete(reference, { lastUpdateTime })
    return
  }
  const data = Object.fromEntries(
    Object.entries(fields).map(([field, value]) => [
      field,
      typeof value === "string" ? value : toTimestamp(value),
    ]),
  )
  if (precondition === "absent") batch.create(reference, data)
  else if (lastUpdateTime === undefined) batch.set(reference, data)
  // Only an update can have a time for its precondition, and it leaves fields be that it does not name.
  else batch.update(reference, { expires_at: FieldValue.delete(), ...data }, { lastUpdateTime })
}

function inRange(query: Query, { from, after, before }: IdRange): Query {
  const start =
    after === undefined ? (from === undefined ? query : query.startAt(from)) : query.startAfter(after)
  return before === undefined ? start : start.endBefore(before)
}
