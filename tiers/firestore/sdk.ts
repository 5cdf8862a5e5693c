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
import { GRPC, NotSent } from "./errors.ts"
import type {
  FieldValue,
  FirestoreDocument,
  FirestoreRequests,
  FirestoreWrite,
  IdRange,
  Instant,
  Limits,
} from "./requests.ts"
import type { ServiceClock } from "./service-clock.ts"
import { loadSdk, type Sdk } from "./settings.ts"

/**
 * The requests over a client that the caller passed in, by its public methods. They repeat failed requests for minutes and cannot be
 * cancelled; no option changes that. At its limit a request is no longer waited for, and continues:
 *
 * - A commit is repeated after `ABORTED`, `RESOURCE_EXHAUSTED` and `UNAVAILABLE`, also if an earlier attempt was applied and only its answer
 *   was lost. A write without a precondition can so be applied a second time, over a newer write of another process.
 * - A read is repeated for seven seconds after any failure, unless the client was made with `gaxServerStreamingRetries: true`.
 */
export async function sdkRequests(
  client: Firestore,
  collection: string,
  runtime: Runtime,
  clock: ServiceClock,
): Promise<FirestoreRequests> {
  const { sdk } = await loadSdk()
  const rows = client.collection(collection)
  const checkLeft = ({ limitMs }: Limits) => {
    if (limitMs <= 0) throw new NotSent("late")
  }
  const inTime = <T>({ limitMs, signal }: Limits, answer: Promise<T>) =>
    abortable(
      within(runtime, answer, limitMs, () => new NoAnswer(limitMs)),
      signal,
    )

  return {
    async read(ids, limits, fields) {
      if (ids.length === 0) return new Map()
      checkLeft(limits)
      const references = ids.map((id) => rows.doc(id))
      const begun = clock.begin()
      const snapshots = await inTime(
        limits,
        client.getAll(...references, ...(fields === undefined ? [] : [{ fieldMask: [...fields] }])),
      )
      const readTime = snapshots.at(-1)?.readTime
      if (readTime !== undefined) clock.read(begun, toInstant(readTime))
      return new Map(snapshots.map((snapshot) => [snapshot.id, toDocument(snapshot)]))
    },

    async commit(writes, limits) {
      checkLeft(limits)
      const batch = client.batch()
      for (const write of writes) addWrite(batch, rows.doc(write.id), write, sdk)
      const begun = clock.begin()
      const times = (await inTime(limits, batch.commit())).map(({ writeTime }) => toInstant(writeTime))
      // The time of a write is that of the commit, because every write here changes its document.
      if (times[0] !== undefined) clock.committed(begun, times[0])
      return times
    },

    async query(range, limit, limits) {
      checkLeft(limits)
      const begun = clock.begin()
      const query = inRange(rows.orderBy(sdk.FieldPath.documentId()), range).limit(limit)
      const { docs, readTime } = await inTime(limits, query.get())
      clock.read(begun, toInstant(readTime))
      return docs.flatMap((snapshot) => toDocument(snapshot) ?? [])
    },

    async close() {},
  }
}

/** Has the status of a deadline in gRPC, and is mapped as one. */
class NoAnswer extends Error {
  readonly code = GRPC.DEADLINE_EXCEEDED

  constructor(limitMs: number) {
    super(`the Firestore client gave no answer within ${limitMs} ms`)
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
  // Only an update takes a time as its precondition. It keeps fields that it does not name.
  else batch.update(reference, { expires_at: FieldValue.delete(), ...data }, { lastUpdateTime })
}

function inRange(query: Query, { from, after, before }: IdRange): Query {
  const start =
    after === undefined ? (from === undefined ? query : query.startAt(from)) : query.startAfter(after)
  return before === undefined ? start : start.endBefore(before)
}
