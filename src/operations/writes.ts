import type { Condition, WriteResult } from "../../tiers/backend.ts"
import { KvError, KvPartialError } from "../../tiers/errors.ts"
import { writeInChunks } from "../../tiers/util/chunks.ts"
import type { CallOptions, DeleteOptions, KvValue, PutOptions, PutResult, WriteOptions } from "../api.ts"
import type { TwoTier } from "../coherence/two-tier.ts"
import { expiryOf } from "../options.ts"
import { abortable } from "./abort.ts"
import { checkIterable, checkKey } from "./keys.ts"
import { ofWrite } from "./outcomes.ts"
import { versionFrom, versionToken } from "./tokens.ts"
import { encodeValue } from "./values.ts"

/** Writes one value. Everything that can be wrong with the call is found before the write begins. */
export async function put(
  tiers: TwoTier,
  operation: string,
  key: string,
  value: KvValue,
  options: PutOptions | undefined,
): Promise<PutResult> {
  const condition = conditionOf(options, key, operation)
  const expiresAt = expiryOf(options?.ttlMs, tiers.runtime.now(), operation)
  const write = {
    value: encodeValue(value, operation, key),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(condition === undefined ? {} : { condition }),
  }
  tiers.counters.bytesWritten += write.value.length
  const send = () => {
    const written = tiers.write(key, (id) => tiers.backend.put(key, { ...write, id }))
    return abortable(written, options?.signal)
  }
  const { applied, version } = await tiers.listener.operation("set", key, send, ofWrite)
  return {
    applied,
    ...(applied && version !== undefined ? { version: versionToken(key, version) } : {}),
    ...(applied && expiresAt !== undefined ? { expiresAt } : {}),
  }
}

/** Writes many values; of a key that comes twice, the last. */
export async function setMany(
  tiers: TwoTier,
  entries: Iterable<readonly [key: string, value: KvValue]>,
  options: WriteOptions | undefined,
): Promise<void> {
  const operation = "setMany"
  const expiresAt = expiryOf(options?.ttlMs, tiers.runtime.now(), operation)
  const expiry = expiresAt === undefined ? {} : { expiresAt }
  checkIterable("entries", entries, operation)
  const writes = new Map<string, { value: Uint8Array; id: string; expiresAt?: number }>()
  for (const [key, value] of entries) {
    checkKey(key, operation)
    writes.set(key, { value: encodeValue(value, operation, key), id: tiers.runtime.id(), ...expiry })
  }
  for (const { value } of writes.values()) tiers.counters.bytesWritten += value.length
  await writeMany(tiers, operation, writes, (batch) => tiers.backend.putMany(batch), options)
}

/** Deletes one entry. */
export async function deleteOne(
  tiers: TwoTier,
  key: string,
  options: DeleteOptions | undefined,
): Promise<boolean> {
  const version = options?.ifVersion === undefined ? undefined : versionFrom(options.ifVersion, key, "delete")
  const removal = version === undefined ? {} : { condition: { version } }
  const send = () => {
    const removed = tiers.write(key, (id) => tiers.backend.delete(key, { ...removal, id }))
    return abortable(removed, options?.signal)
  }
  return (await tiers.listener.operation("delete", key, send, ofWrite)).applied
}

/** Deletes many entries. */
export async function deleteMany(
  tiers: TwoTier,
  keys: Iterable<string>,
  options: CallOptions | undefined,
): Promise<void> {
  const operation = "deleteMany"
  const removals = new Map<string, { id: string }>()
  checkIterable("keys", keys, operation)
  for (const key of keys) {
    checkKey(key, operation)
    removals.set(key, { id: tiers.runtime.id() })
  }
  await writeMany(tiers, operation, removals, (batch) => tiers.backend.deleteMany(batch), options)
}

async function writeMany<T>(
  tiers: TwoTier,
  operation: "setMany" | "deleteMany",
  writes: Map<string, T>,
  perform: (batch: ReadonlyMap<string, T>) => Promise<Map<string, WriteResult | KvError>>,
  options: CallOptions | undefined,
): Promise<void> {
  if (writes.size === 0) return
  const send = () => sendMany(tiers, operation, writes, perform, options)
  await tiers.listener.operation(operation, undefined, send, () => ({
    tier: "l2",
    keys: { l2: writes.size },
  }))
}

/** Performs a batch and turns the keys that failed into one error that names them and the ones applied. */
async function sendMany<T>(
  tiers: TwoTier,
  operation: string,
  writes: Map<string, T>,
  perform: (batch: ReadonlyMap<string, T>) => Promise<Map<string, WriteResult | KvError>>,
  options: CallOptions | undefined,
): Promise<void> {
  const { kind, maxWriteBatch } = tiers.backend.traits
  const written = tiers.writeMany(writes, (all) => writeInChunks(all, maxWriteBatch, perform))
  const results = await abortable(written, options?.signal)
  const failed = new Map<string, KvError>()
  const applied: string[] = []
  for (const key of writes.keys()) {
    const result = results.get(key) ?? unanswered(operation, kind, key)
    if (result instanceof KvError) failed.set(key, result)
    else applied.push(key)
  }
  if (failed.size === 0) return
  throw new KvPartialError(failed, applied, { operation, backend: kind })
}

/** A backend owes an answer for every key; without one, nothing is known of the write. */
function unanswered(operation: string, backend: string, key: string): KvError {
  const message = "the backend gave no answer for this key; read it before writing it again"
  return new KvError("OUTCOME_UNKNOWN", message, { operation, backend, key })
}

function conditionOf(options: PutOptions | undefined, key: string, operation: string): Condition | undefined {
  if (options === undefined) return undefined
  if (options.ifVersion === undefined) return options.ifNotExists ? { absent: true } : undefined
  if (options.ifNotExists === undefined) return { version: versionFrom(options.ifVersion, key, operation) }
  throw new KvError(
    "INVALID_OPTION",
    "ifNotExists and ifVersion exclude each other: the one wants no entry there, the other a certain one",
    { operation, key },
  )
}
