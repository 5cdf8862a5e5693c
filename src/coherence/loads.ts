import type { Condition, MaybePromise } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { L1Entry } from "../../tiers/l1/entry.ts"
import type { GetOrSetOptions, Loader } from "../api.ts"
import { abortable } from "../operations/abort.ts"
import { describe } from "../operations/keys.ts"
import { type Answer, ofAnswer, ofLoad } from "../operations/outcomes.ts"
import { encodeJson, encodeValue, jsonOf, mutableJsonOf, textOf } from "../operations/values.ts"
import { expiryOf } from "../options.ts"
import type { Load, TwoTier } from "./two-tier.ts"

const OPERATION = "getOrSet"

/** How a loaded value is stored and comes back. */
interface Form {
  encode(value: unknown, key: string): Uint8Array
  decode(entry: L1Entry, key: string): unknown
}

const json: Form = {
  encode(value, key) {
    if (value instanceof Uint8Array) throw wrongForm("bytes", "bytes", key)
    return encodeJson(value, OPERATION, key)
  },
  decode: (entry, key) => jsonOf(entry, OPERATION, key),
}

const mutableJson: Form = { ...json, decode: (entry, key) => mutableJsonOf(entry, OPERATION, key) }

const text: Form = {
  encode(value, key) {
    if (typeof value !== "string") throw wrongForm(describe(value), "json", key)
    return encodeValue(value, OPERATION, key)
  },
  decode: (entry, key) => textOf(entry, OPERATION, key),
}

const bytes: Form = {
  encode(value, key) {
    if (!(value instanceof Uint8Array)) throw wrongForm(describe(value), "json", key)
    return encodeValue(value, OPERATION, key)
  },
  decode: (entry) => entry.copyBytes(),
}

const FORMS = { json, text, bytes }

function wrongForm(found: string, fitting: string, key: string): KvError {
  const message = `The loader returned ${found}; pass as: "${fitting}" to store it and get it back as it is`
  return new KvError("INVALID_VALUE", message, { operation: OPERATION, key })
}

/** What to load, and under which condition to store it. */
interface LoadRequest {
  key: string
  loader: Loader<unknown>
  form: Form
  ttlMs: number | undefined
  condition: Condition
}

/** The value under `key`, or what `loader` gives, stored if the key is still absent and untouched by then. */
export async function getOrSet(
  tiers: TwoTier,
  key: string,
  loader: Loader<unknown>,
  options: GetOrSetOptions = {},
): Promise<unknown> {
  const { as = "json", mutable, ttlMs, refreshAheadMs = 0, consistency, signal } = options
  if (typeof loader !== "function") {
    const message = `getOrSet takes a function that loads the value; got ${describe(loader)}`
    throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key })
  }
  if (refreshAheadMs > 0 && ttlMs === undefined) {
    const message = "refreshAheadMs needs ttlMs: what never expires is never loaded ahead of its expiry"
    throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key })
  }
  const form = as === "json" && mutable ? mutableJson : FORMS[as]
  const request = { key, loader, form, ttlMs }

  const held = consistency === "strong" ? undefined : tiers.lookUp(key)
  if (held) {
    tiers.listener.onHit?.(OPERATION, key, held)
    refreshAhead(tiers, request, held, refreshAheadMs)
    return form.decode(held, key)
  }
  const read = () => (consistency === "strong" ? tiers.readStrong(key) : tiers.read(key, true))
  const answer = () => {
    const entry = held === null ? undefined : read()
    if (!(entry instanceof Promise)) return orLoaded(tiers, request, entry, options)
    return tiers.runSteps(async () => orLoaded(tiers, request, await abortable(entry, signal), options))
  }
  const { entry } = await tiers.listener.operation(OPERATION, key, answer, ofAnswer)
  return entry && form.decode(entry, key)
}

/** What was read, loaded ahead of its expiry if that is near; or what is loaded now, if it was absent. */
function orLoaded(
  tiers: TwoTier,
  request: Omit<LoadRequest, "condition">,
  entry: L1Entry | undefined,
  { refreshAheadMs = 0, signal }: GetOrSetOptions,
): MaybePromise<Answer> {
  if (entry === undefined) {
    const loading = load(tiers, { ...request, condition: { absent: true } }, signal)
    return loading.then((loaded) => ({ tier: "loader", entry: loaded }))
  }
  refreshAhead(tiers, request, entry, refreshAheadMs)
  return { tier: "l2", entry }
}

function refreshAhead(
  tiers: TwoTier,
  request: Omit<LoadRequest, "condition">,
  { expiresAt = Number.POSITIVE_INFINITY, version }: L1Entry,
  refreshAheadMs: number,
): void {
  if (expiresAt - tiers.runtime.now() >= refreshAheadMs) return
  refresh(tiers, { ...request, condition: { version } })
}

/** Waits for the load of the key under way, or starts one. The load is aborted once nobody waits for it any more. */
async function load(
  tiers: TwoTier,
  request: LoadRequest,
  signal: AbortSignal | undefined,
): Promise<L1Entry | undefined> {
  const underWay = tiers.loads.get(request.key)
  if (underWay !== undefined) tiers.counters.loadsCoalesced++
  const joined = underWay ?? start(tiers, request, false)
  if (joined.promise === undefined) {
    const message = "The loader asks for the key that it loads, and would wait for itself"
    throw new KvError("INVALID_OPTION", message, { operation: OPERATION, key: request.key })
  }
  if (underWay !== undefined) tiers.listener.joined(underWay.captured)
  joined.waiters++
  try {
    return await abortable(joined.promise, signal)
  } finally {
    const abandoned = --joined.waiters === 0 && !joined.background && !joined.settled
    if (abandoned) abandon(tiers, request.key, joined)
  }
}

/** Loads the key anew in the background, unless a load is under way. Its failure is counted; the entry stays as it is. */
function refresh(tiers: TwoTier, request: LoadRequest): void {
  if (tiers.loads.has(request.key)) return
  tiers.counters.refreshes++
  start(tiers, request, true).promise?.catch(() => {})
}

/** Stops a load that nobody waits for. What it still brings is not stored, since no later write can find it here. */
function abandon(tiers: TwoTier, key: string, load: Load): void {
  load.dirty = true
  load.controller.abort(new DOMException("Nobody waits for this load any more", "AbortError"))
  if (tiers.loads.get(key) === load) tiers.loads.delete(key)
}

function start(tiers: TwoTier, request: LoadRequest, background: boolean): Load {
  const load: Load = {
    dirty: false,
    waiters: 0,
    background,
    settled: false,
    captured: undefined,
    controller: new AbortController(),
    promise: undefined,
  }
  tiers.loads.set(request.key, load)
  load.promise = tiers.runLoad(request.key, load, () =>
    tiers.listener.load(request.key, background, () => run(tiers, request, load), ofLoad),
  )
  return load
}

async function run(tiers: TwoTier, request: LoadRequest, load: Load): Promise<L1Entry | undefined> {
  const { key, form, condition } = request
  load.captured = tiers.listener.capture()
  const value = await callLoader(tiers, request, load.controller.signal)
  const abandoned = load.waiters === 0 && !load.background
  if (value === undefined || abandoned) return undefined
  const expiresAt = expiryOf(request.ttlMs, tiers.runtime.now(), OPERATION)
  const bytes = form.encode(value, key)
  const loaded = new L1Entry(bytes, "", expiresAt)

  // A write or a delete since the load began is newer than what it brought, and stays.
  if (!load.dirty) {
    tiers.counters.bytesWritten += bytes.length
    const write = { value: bytes, condition, ...(expiresAt === undefined ? {} : { expiresAt }) }
    const result = await tiers.write(key, (id) => tiers.backend.put(key, { ...write, id }), load)
    if (result.applied) return loaded
  }
  return (await tiers.read(key, true)) ?? loaded
}

async function callLoader(
  tiers: TwoTier,
  { key, loader }: LoadRequest,
  signal: AbortSignal,
): Promise<unknown> {
  const startedAt = tiers.runtime.monotonic()
  tiers.counters.loads++
  try {
    const value = await loader({ key, signal })
    if (value === undefined) tiers.counters.loadMisses++
    else tiers.counters.loadHits++
    return value
  } catch (error) {
    tiers.counters.loadErrors++
    throw error
  } finally {
    tiers.counters.loadLatency.record(tiers.runtime.monotonic() - startedAt)
  }
}
