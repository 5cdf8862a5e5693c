import type { FieldValue, FirestoreDocument, FirestoreWrite, IdRange, Instant } from "./requests.ts"

/** The messages of the protocol, `google.firestore.v1`, as the SDK decodes them. Only the used fields are declared. */
export interface WireDocument {
  name: string
  fields: Record<string, WireValue>
  updateTime: WireTime
}

interface WireValue {
  stringValue?: string
  bytesValue?: Uint8Array
  timestampValue?: WireTime
  nullValue?: unknown
}

export interface WireTime {
  /** A 64-bit number, as text. */
  seconds: string
  nanos: number
}

/** A message of the answer to `BatchGetDocuments` (`found` or `missing`) or to `RunQuery` (`document`, or none). */
export interface DocumentResponse {
  found?: WireDocument | null
  missing?: string | null
  document?: WireDocument | null
  readTime?: WireTime | null
}

export interface CommitResponse {
  writeResults: { updateTime: WireTime | null }[]
  commitTime?: WireTime | null
}

export function toDocument({ name, fields, updateTime }: WireDocument): FirestoreDocument {
  return {
    id: name.slice(name.lastIndexOf("/") + 1),
    fields: Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, toFieldValue(value)])),
    updateTime: toInstant(updateTime),
  }
}

export function toInstant({ seconds, nanos }: WireTime): Instant {
  return { seconds: Number(seconds), nanos }
}

function toFieldValue(value: WireValue): FieldValue | undefined {
  if (value.stringValue !== undefined) return value.stringValue
  if (value.bytesValue !== undefined) return value.bytesValue
  if (value.timestampValue !== undefined) return toInstant(value.timestampValue)
  return value.nullValue === undefined ? null : undefined
}

export function toWireWrite(
  { id, fields, precondition }: FirestoreWrite,
  nameOf: (id: string) => string,
): object {
  const name = nameOf(id)
  return {
    ...(fields === undefined ? { delete: name } : { update: { name, fields: toWireFields(fields) } }),
    ...(precondition === undefined ? {} : { currentDocument: toWirePrecondition(precondition) }),
  }
}

function toWireFields(fields: Readonly<Record<string, string | Instant>>): Record<string, object> {
  return Object.fromEntries(
    Object.entries(fields).map(([field, value]) => [
      field,
      typeof value === "string" ? { stringValue: value } : { timestampValue: value },
    ]),
  )
}

function toWirePrecondition(precondition: "absent" | Instant): object {
  return precondition === "absent" ? { exists: false } : { updateTime: precondition }
}

/** The documents of one collection in a range of ids, as a `StructuredQuery`. */
export function toWireQuery(
  collection: string,
  { from, after, before }: IdRange,
  limit: number,
  nameOf: (id: string) => string,
): object {
  const bound = (id: string, included: boolean) => ({
    values: [{ referenceValue: nameOf(id) }],
    // `before: true` places the bound before the document of that id: a query that starts there includes it, one that ends there does not.
    before: included,
  })
  return {
    from: [{ collectionId: collection }],
    orderBy: [{ field: { fieldPath: "__name__" }, direction: "ASCENDING" }],
    limit: { value: limit },
    ...(after === undefined ? {} : { startAt: bound(after, false) }),
    ...(after !== undefined || from === undefined ? {} : { startAt: bound(from, true) }),
    ...(before === undefined ? {} : { endAt: bound(before, true) }),
  }
}
