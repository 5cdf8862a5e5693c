import { createHash } from "node:crypto"
import type { AttributeValue, GetItemCommandInput, PutItemCommandInput } from "@aws-sdk/client-dynamodb"
import type { RowHead, StoredEntry, Write } from "../backend.ts"
import { KvError } from "../errors.ts"
import { bucketOf } from "../util/bucket.ts"
import { KIND } from "./errors.ts"
import { writtenAt } from "./write-times.ts"

/**
 * The row format. Alien's clients, which can share the table, use the first four attributes; their rows lack the last three.
 *
 * | attribute | type | holds |
 * | --- | --- | --- |
 * | `pk` | S | `bucket_N` with N of {@link bucketOf}; partition key |
 * | `sk` | S | the key; sort key |
 * | `value` | B | the bytes |
 * | `ttl` | N | expiry in Unix seconds, rounded up; absent if there is none. The table's TTL is on it |
 * | `exp` | N | expiry in Unix ms; absent: `ttl` × 1000 |
 * | `version` | S | identity of the attempt that wrote the row, new on every one |
 * | `wt` | N | time of the service when the attempt was made, Unix ms; absent if the process did not know it. See `write-times.ts` |
 */
export type Item = Record<string, AttributeValue>

export function partitionOf(bucket: number): AttributeValue.SMember {
  return { S: `bucket_${bucket}` }
}

export function primaryKey(key: string): Item {
  return { pk: partitionOf(bucketOf(key)), sk: { S: key } }
}

/** The key of a row. */
export function keyOf(item: Item | undefined): string {
  return item?.sk?.S ?? ""
}

/** @param stamp the value of `wt` */
export function itemOf(key: string, { value, id, expiresAt }: Write, stamp: number | undefined): Item {
  return {
    ...primaryKey(key),
    value: { B: value },
    version: { S: id },
    ...(stamp === undefined ? {} : { wt: { N: String(stamp) } }),
    ...(expiresAt === undefined
      ? {}
      : { exp: { N: String(expiresAt) }, ttl: { N: String(Math.ceil(expiresAt / 1_000)) } }),
  }
}

/**
 * The row that a conditional delete leaves: expired, without a value, with the id of the removal, so that a removal that is sent again
 * recognises it. The TTL of the table removes it. It expired a day ago, so that it is expired on every clock; not earlier, because
 * DynamoDB does not remove rows that expired more than five years ago.
 */
export function tombstoneOf(key: string, id: string, now: number, stamp: number | undefined): Item {
  return itemOf(key, { value: new Uint8Array(), id, expiresAt: now - 86_400_000 }, stamp)
}

export type Projection = Pick<GetItemCommandInput, "ProjectionExpression" | "ExpressionAttributeNames">

/** The attributes needed to decide whether a row is live. */
export const LIVENESS_PROJECTION: Projection = {
  ProjectionExpression: "sk, #exp, #ttl",
  ExpressionAttributeNames: { "#exp": "exp", "#ttl": "ttl" },
}

/** The attributes of a head. The version of a row without an identity also depends on its value, which is not among them. */
export const HEAD_PROJECTION: Projection = {
  ProjectionExpression: "pk, sk, #version, #exp, #ttl, wt",
  ExpressionAttributeNames: { "#version": "version", "#exp": "exp", "#ttl": "ttl" },
}

export function isLive(item: Item, now: number, operation: string): boolean {
  const expiresAt = expiryOf(item, operation)
  return expiresAt === undefined || expiresAt > now
}

/** The entry in a row, or `undefined` if it has expired; throws `CORRUPT_ENTRY`. */
export function entryOf(item: Item, now: number, operation: string): StoredEntry | undefined {
  const expiresAt = expiryOf(item, operation)
  if (expiresAt !== undefined && expiresAt <= now) return undefined
  return {
    value: ownBytes(bytesOf(item, operation)),
    version: hasIdentity(item) ? versionOf(item, operation) : contentVersionOf(item, operation),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
}

/** Whether the row has an identity. Rows of other clients have none. */
export function hasIdentity({ version }: Item): boolean {
  return version !== undefined
}

/** The head of a row, live or expired; throws `CORRUPT_ENTRY`. `item` has its value if the row has no identity. */
export function headOf(item: Item, now: number): RowHead {
  const live = isLive(item, now, "probe")
  if (!hasIdentity(item)) return { version: contentVersionOf(item, "probe"), recurs: true, live }
  const version = versionOf(item, "probe")
  const stamp = stampIn(item)
  return { id: version, version, live, ...(stamp === undefined ? {} : { writtenAt: writtenAt(stamp) }) }
}

/** The value of `wt`. */
export function stampIn({ wt }: Item): number | undefined {
  const stamp = Number(wt?.N)
  return Number.isFinite(stamp) ? stamp : undefined
}

/** Copies a value that is a view of a slab shared by several values: otherwise an entry would keep the whole slab in memory. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}

function bytesOf(item: Item, operation: string): Uint8Array {
  if (item.value?.B !== undefined) return item.value.B
  throw corrupt(item, operation, "`value` is not of type B")
}

function expiryOf({ exp, ttl, sk }: Item, operation: string): number | undefined {
  if (exp === undefined && ttl === undefined) return undefined
  const expiresAt = exp === undefined ? Number(ttl?.N) * 1_000 : Number(exp.N)
  if (Number.isFinite(expiresAt)) return expiresAt
  throw corrupt(sk && { sk }, operation, `\`${exp === undefined ? "ttl" : "exp"}\` is not of type N`)
}

const VERSION = /^[\x21-\x7e]{1,120}$/

function versionOf(item: Item, operation: string): string {
  const version = item.version?.S
  if (version !== undefined && VERSION.test(version)) return version
  throw corrupt(item, operation, "`version` is not 1 to 120 characters of visible ASCII")
}

const CONTENT_VERSION = "content-"

/** Whether a version is of a row without an identity, that is derived from its content. */
export function isContentVersion(version: string): boolean {
  return version.startsWith(CONTENT_VERSION)
}

/** Whether `version` is the version of this row. */
export function hasContentVersion(item: Item, version: string): boolean {
  return item.value?.B !== undefined && contentVersion(item.value.B, item.ttl?.N) === version
}

function contentVersionOf(item: Item, operation: string): string {
  return contentVersion(bytesOf(item, operation), item.ttl?.N)
}

function contentVersion(value: Uint8Array, ttl = ""): string {
  return CONTENT_VERSION + createHash("sha256").update(`${ttl}\n`).update(value).digest("base64url")
}

function corrupt(item: Item | undefined, operation: string, what: string): KvError {
  return new KvError(
    "CORRUPT_ENTRY",
    `the row is not one of a key-value store: ${what}; delete it, or write the key anew`,
    { operation, backend: KIND, key: item?.sk?.S },
  )
}

/** The condition of a `PutItem`. A refusal returns the row, so that a write recognises its own. */
export type ItemCondition = Pick<
  PutItemCommandInput,
  | "ConditionExpression"
  | "ExpressionAttributeNames"
  | "ExpressionAttributeValues"
  | "ReturnValuesOnConditionCheckFailure"
>

// The expiry is `exp`, or `ttl` if there is no `exp`. A comparison with an absent attribute is false.
const EXPIRED = "(#exp <= :now OR (attribute_not_exists(#exp) AND #ttl <= :nowSeconds))"
const LIVE =
  "(#exp > :now OR (attribute_not_exists(#exp) AND (attribute_not_exists(#ttl) OR #ttl > :nowSeconds)))"

/** The key has no row, or an expired one. */
export function ifAbsent(now: number): ItemCondition {
  return condition(`attribute_not_exists(sk) OR ${EXPIRED}`, {}, clockValues(now))
}

/** The row of the key has this version, and is live. */
export function ifVersion(version: string, now: number): ItemCondition {
  return condition(
    `#version = :version AND ${LIVE}`,
    { "#version": "version" },
    { ":version": { S: version }, ...clockValues(now) },
  )
}

/** The row of the key has no identity, has exactly the content of `item`, and is live. */
export function ifUnchanged({ value, ttl }: Item, now: number): ItemCondition {
  const sameTtl = ttl ? "#ttl = :ttl" : "attribute_not_exists(#ttl)"
  return condition(
    `attribute_not_exists(#version) AND #value = :value AND ${sameTtl} AND ${LIVE}`,
    { "#version": "version", "#value": "value" },
    { ...(value && { ":value": value }), ...(ttl && { ":ttl": ttl }), ...clockValues(now) },
  )
}

function clockValues(now: number): Item {
  return { ":now": { N: String(now) }, ":nowSeconds": { N: String(Math.floor(now / 1_000)) } }
}

function condition(expression: string, names: Record<string, string>, values: Item): ItemCondition {
  return {
    ConditionExpression: expression,
    ExpressionAttributeNames: { "#exp": "exp", "#ttl": "ttl", ...names },
    ExpressionAttributeValues: values,
    ReturnValuesOnConditionCheckFailure: "ALL_OLD",
  }
}

/** The result of `decode`, or the `CORRUPT_ENTRY` that it throws. */
export function orCorrupt<T>(decode: () => T): T | KvError {
  try {
    return decode()
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}
