import type { Condition, WriteResult } from "../../tiers/backend.ts"
import { KvError, KvPartialError } from "../../tiers/errors.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { CallOptions, DeleteOptions, KvValue, PutOptions, PutResult, WriteOptions } from "../api.ts"
import type { NewWrite, WriteResults } from "../coherence/write-through.ts"
import type { Outcome } from "../listener.ts"
import type { OpenStore } from "../open-store.ts"
import { expiryOf } from "../options.ts"
import { checkIterable, checkKey } from "./keys.ts"
import { ofWrite } from "./outcomes.ts"
import { versionFrom, versionToken } from "./tokens.ts"
import { encodeValue } from "./values.ts"

/** Writes one value. All checks of the call come before the write. */
export async function put(
  store: OpenStore,
  operation: string,
  key: string,
  value: KvValue,
  options: PutOptions | undefined,
): Promise<PutResult> {
  const condition = conditionOf(options, key, operation)
  const expiresAt = expiryOf(options?.ttlMs, store.runtime.now(), operation)
  const write = {
    value: encodeValue(value, operation, key),
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(condition === undefined ? {} : { condition }),
  }
  const send = () => abortable(store.tiers.writes.put(key, write), options?.signal)
  const describe = (result: WriteResult): Outcome => ({
    ...ofWrite(result),
    size: write.value.length,
    ttlMs: options?.ttlMs,
  })
  const { applied, version, mayLandLate } = await store.listener.operation(
    "set",
    key,
    send,
    describe,
    options?.signal,
  )
  return {
    applied,
    ...(applied && version !== undefined ? { version: versionToken(key, version) } : {}),
    ...(applied && expiresAt !== undefined ? { expiresAt } : {}),
    ...(mayLandLate ? { mayLandLate } : {}),
  }
}

/** Writes many values; if a key is given twice, the last value. */
export async function setMany(
  store: OpenStore,
  entries: Iterable<readonly [key: string, value: KvValue]>,
  options: WriteOptions | undefined,
): Promise<void> {
  const operation = "setMany"
  const expiresAt = expiryOf(options?.ttlMs, store.runtime.now(), operation)
  const expiry = expiresAt === undefined ? {} : { expiresAt }
  checkIterable("entries", entries, operation)
  const writes = new Map<string, NewWrite>()
  for (const [key, value] of entries) {
    checkKey(key, operation)
    writes.set(key, { value: encodeValue(value, operation, key), ...expiry })
  }
  await writeMany(store, operation, new Set(writes.keys()), () => store.tiers.writes.putMany(writes), options)
}

/** Deletes one entry. */
export async function deleteOne(
  store: OpenStore,
  key: string,
  options: DeleteOptions | undefined,
): Promise<boolean> {
  const version = options?.ifVersion === undefined ? undefined : versionFrom(options.ifVersion, key, "delete")
  const removal = version === undefined ? {} : { condition: { version } }
  const send = () => abortable(store.tiers.writes.delete(key, removal), options?.signal)
  return (await store.listener.operation("delete", key, send, ofWrite, options?.signal)).applied
}

/** Deletes many entries. */
export async function deleteMany(
  store: OpenStore,
  keys: Iterable<string>,
  options: CallOptions | undefined,
): Promise<void> {
  const operation = "deleteMany"
  checkIterable("keys", keys, operation)
  const distinct = new Set<string>()
  for (const key of keys) {
    checkKey(key, operation)
    distinct.add(key)
  }
  await writeMany(store, operation, distinct, () => store.tiers.writes.deleteMany(distinct), options)
}

async function writeMany(
  { tiers, listener }: OpenStore,
  operation: "setMany" | "deleteMany",
  keys: ReadonlySet<string>,
  write: () => Promise<WriteResults>,
  options: CallOptions | undefined,
): Promise<void> {
  if (keys.size === 0) return
  const send = async () => {
    const results = await abortable(write(), options?.signal)
    throwIfAnyFailed(results, keys, operation, tiers.traits.kind)
  }
  const describe = (): Outcome => ({ tier: "l2", keys: { l2: keys.size } })
  await listener.operation(operation, undefined, send, describe, options?.signal)
}

/** Throws one error that names the failed and the applied keys, if any key failed. */
function throwIfAnyFailed(
  results: WriteResults,
  keys: ReadonlySet<string>,
  operation: string,
  backend: string,
): void {
  const failed = new Map<string, KvError>()
  const applied: string[] = []
  for (const key of keys) {
    const result = results.get(key) ?? unanswered(operation, backend, key)
    if (result instanceof KvError) failed.set(key, result)
    else applied.push(key)
  }
  if (failed.size > 0) throw new KvPartialError(failed, applied, { operation, backend })
}

/** The error of a key that is missing in the result of a backend: its write may have been applied. */
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
