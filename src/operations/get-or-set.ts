import type { MaybePromise } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import { NONE } from "../../tiers/l1/lru-slots.ts"
import { abortable } from "../../tiers/util/abort.ts"
import { describe } from "../../tiers/util/checks.ts"
import type { GetOrSetOptions, Loader } from "../api.ts"
import { type LoadRequest, ofLoad } from "../coherence/loads.ts"
import type { Caller, Outcome } from "../listener.ts"
import type { OpenStore } from "../open-store.ts"
import { expiryOf } from "../options.ts"
import { bytes, type Form, json, mutableJson, text } from "./forms.ts"
import { ofRead } from "./outcomes.ts"
import { encodeJson, encodeValue } from "./values.ts"

const OPERATION = "getOrSet"

/** How a loaded value is stored, and in which form a stored value is returned. */
interface Codec {
  encode(value: unknown, key: string): Uint8Array
  form: Form<unknown>
}

const asJson: Codec = {
  encode(value, key) {
    if (value instanceof Uint8Array) throw wrongForm("bytes", "bytes", key)
    return encodeJson(value, OPERATION, key)
  },
  form: json,
}

const asMutableJson: Codec = { ...asJson, form: mutableJson }

const asText: Codec = {
  encode(value, key) {
    if (typeof value !== "string") throw wrongForm(describe(value), "json", key)
    return encodeValue(value, OPERATION, key)
  },
  form: text,
}

const asBytes: Codec = {
  encode(value, key) {
    if (!(value instanceof Uint8Array)) throw wrongForm(describe(value), "json", key)
    return encodeValue(value, OPERATION, key)
  },
  form: bytes,
}

const CODECS = { json: asJson, text: asText, bytes: asBytes }

function wrongForm(found: string, fitting: string, key: string): KvError {
  const message = `The loader returned ${found}; pass as: "${fitting}" to store it and get it back as it is`
  return new KvError("INVALID_VALUE", message, { operation: OPERATION, key })
}

/** A load without the condition of its write, which differs between a first load and a refresh. */
type Load = Omit<LoadRequest, "condition">

/** An entry, and the tier that it came from. */
interface Result {
  tier: "l2" | "loader"
  entry: L1Entry | undefined
}

/** The value under `key`. If the key is absent, the result of `loader`, stored unless the key was written meanwhile. */
export async function getOrSet(
  store: OpenStore,
  key: string,
  loader: Loader<unknown>,
  options: GetOrSetOptions = {},
): Promise<unknown> {
  const { l1, tiers, listener } = store
  const { consistency, signal } = options
  const codec = codecOf(options)
  checkLoader(key, loader, options)

  const strong = consistency === "strong"
  const slot = strong ? NONE : l1.find(key)
  if (slot !== NONE && !isRefreshDue(store, l1.expiresAt(slot), options)) {
    const size = l1.lengthAt(slot)
    const value = codec.form.at(l1, slot, OPERATION, key)
    listener.onUntimedHit?.(OPERATION, key, size)
    return value
  }
  const load = loadOf(store, key, loader, codec, options)
  if (slot !== NONE) {
    const entry = l1.entryAt(slot)
    listener.onUntimedHit?.(OPERATION, key, entry.bytes.length)
    refresh(store, load, entry)
    return codec.form.of(l1, entry, OPERATION, key)
  }
  const absent = !strong && tiers.lookUpAbsent(key) === null
  const answer = (caller: Caller): MaybePromise<Result> => {
    const read = absent
      ? undefined
      : strong
        ? tiers.direct.readStrong(key, caller)
        : tiers.cached.read(key, true, caller)
    if (!(read instanceof Promise)) return entryOrLoaded(store, load, read, options, caller)
    return tiers.during(async () =>
      entryOrLoaded(store, load, await abortable(read, signal), options, caller),
    )
  }
  const { entry } = await listener.operation(OPERATION, key, answer, ofResult, signal)
  return entry && codec.form.of(l1, entry, OPERATION, key)
}

/** The entry that was read, with a refresh in the background if one is due; if the key is absent, the loaded entry. */
function entryOrLoaded(
  store: OpenStore,
  load: Load,
  entry: L1Entry | undefined,
  options: GetOrSetOptions,
  caller: Caller,
): MaybePromise<Result> {
  if (entry === undefined) {
    const loading = store.tiers.load({ ...load, condition: { absent: true } }, caller, options.signal)
    return loading.then((loaded) => ({ tier: "loader", entry: loaded }))
  }
  if (isRefreshDue(store, entry.expiresAt, options)) refresh(store, load, entry)
  return { tier: "l2", entry }
}

function isRefreshDue(
  { runtime }: OpenStore,
  expiresAt: number | undefined,
  { refreshAheadMs = 0 }: GetOrSetOptions,
): boolean {
  return refreshAheadMs > 0 && expiresAt !== undefined && expiresAt - runtime.now() < refreshAheadMs
}

function refresh({ tiers }: OpenStore, load: Load, { version }: L1Entry): void {
  tiers.refresh({ ...load, condition: { version } })
}

function codecOf({ as = "json", mutable }: GetOrSetOptions): Codec {
  return as === "json" && mutable ? asMutableJson : CODECS[as]
}

function checkLoader(
  key: string,
  loader: Loader<unknown>,
  { ttlMs, refreshAheadMs = 0 }: GetOrSetOptions,
): void {
  if (typeof loader !== "function") {
    const message = `getOrSet takes a function that loads the value; got ${describe(loader)}`
    throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key })
  }
  if (refreshAheadMs > 0 && ttlMs === undefined) {
    const message = "refreshAheadMs needs ttlMs: what never expires is never loaded ahead of its expiry"
    throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key })
  }
  if (ttlMs !== undefined && refreshAheadMs >= ttlMs) {
    const message = `refreshAheadMs is less than ttlMs, ${ttlMs}: otherwise every hit loads anew; got ${refreshAheadMs}`
    throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key })
  }
}

function loadOf(
  { runtime }: OpenStore,
  key: string,
  loader: Loader<unknown>,
  codec: Codec,
  { ttlMs }: GetOrSetOptions,
): Load {
  const encode = (value: unknown) => {
    const expiresAt = expiryOf(ttlMs, runtime.now(), OPERATION)
    return { value: codec.encode(value, key), ...(expiresAt === undefined ? {} : { expiresAt }) }
  }
  return { key, loader, encode }
}

function ofResult({ tier, entry }: Result): Outcome {
  return tier === "l2" ? ofRead(entry) : ofLoad(entry)
}
