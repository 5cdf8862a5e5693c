import type { Telemetry } from "../telemetry/store-telemetry.ts"
import type { Backend } from "../tiers/backend.ts"
import { L1 } from "../tiers/l1/l1.ts"
import type { Kv, KvOptions } from "./api.ts"
import { type Binding, backendOf, identityOf } from "./binding/catalogue.ts"
import { resolveBinding } from "./binding/environment.ts"
import { overNetwork } from "./binding/open-backend.ts"
import { parseUrl } from "./binding/url.ts"
import { TwoTier } from "./coherence/two-tier.ts"
import { silent } from "./listener.ts"
import type { OpenStore } from "./open-store.ts"
import { register } from "./open-stores.ts"
import { checkName } from "./operations/keys.ts"
import { type KvSettings, kvSettings } from "./options.ts"
import { Counters, snapshot } from "./stats.ts"
import { Store } from "./store.ts"

/** A store that several handles hold. */
interface SharedStore {
  readonly opening: Promise<OpenStore>
  handles: number
}

/** The stores opened by name alone, by name and binding. */
const shared = new Map<string, SharedStore>()
/** Shared stores that are being closed: one that is opened again waits for them. */
const closing = new Map<string, Promise<void>>()

/**
 * Opens the store called `name`. Its backend is, in this order: `options.backend`; the URL in the environment variable
 * `KV_<NAME>_URL`; the JSON in `ALIEN_<NAME>_BINDING`; an embedded LMDB store under `.kv/<name>` of the working
 * directory, unless `NODE_ENV` is `production`. `<NAME>` is the name in upper case with `-` as `_`.
 *
 * Two calls with one name and no options give two handles over the same store and the same L1; each is closed by itself.
 *
 * @param name 1 to 64 characters of `A-Z a-z 0-9 - _`
 * @throws {KvError} `INVALID_ID`, `INVALID_OPTION`, `BINDING_NOT_CONFIGURED`, `BINDING_INVALID`, `DEPENDENCY_MISSING`,
 * or what opening the backend gives: `ACCESS_DENIED`, `UNAVAILABLE`
 */
export async function kv(name: string, options?: KvOptions): Promise<Kv> {
  checkName(name, "open")
  const settings = kvSettings(options)
  const given = options?.backend
  if (options === undefined || Object.keys(options).length === 0) return openShared(name, settings)
  if (typeof given === "object") {
    const open = await compose(name, given, settings)
    return new Store(open, () => open.close())
  }
  const binding = given === undefined ? resolveBinding(name, process.env) : parseUrl(given)
  const open = await openOwned(name, binding, settings)
  return new Store(open, () => open.close())
}

async function openShared(name: string, settings: KvSettings): Promise<Kv> {
  const binding = resolveBinding(name, process.env)
  const id = JSON.stringify([name, process.cwd(), identityOf(binding)])
  while (closing.has(id)) await closing.get(id)
  const store = shared.get(id) ?? { opening: openOwned(name, binding, settings), handles: 0 }
  shared.set(id, store)
  store.handles++

  const release = async () => {
    if (--store.handles > 0) return
    shared.delete(id)
    const closed = store.opening.then((open) => open.close()).finally(() => closing.delete(id))
    closing.set(
      id,
      closed.catch(() => {}),
    )
    await closed
  }
  try {
    return new Store(await store.opening, release)
  } catch (error) {
    if (shared.get(id) === store) shared.delete(id)
    throw error
  }
}

/** Opens the backend of a binding; one that fails to open is closed, so that nothing of it lingers. */
async function openOwned(name: string, binding: Binding, settings: KvSettings): Promise<OpenStore> {
  const backend = await backendOf(binding, settings)
  try {
    const store = await compose(name, backend, settings)
    return { ...store, close: () => store.close().then(() => backend.close()) }
  } catch (error) {
    await backend.close().catch(() => {})
    throw error
  }
}

/** Puts the tiers together. */
async function compose(name: string, backend: Backend, settings: KvSettings): Promise<OpenStore> {
  const { runtime, timeoutMs, quarantineMs } = settings
  await backend.open()
  const telemetry = await telemetryOf(name, backend, settings)
  const listener = telemetry ?? silent
  const composed = backend.traits.inProcess
    ? backend
    : await overNetwork(backend, runtime, timeoutMs, telemetry?.calls)
  const counters = new Counters()
  const l1 = new L1(settings.l1, runtime, (ms) => {
    counters.l1Latency.record(ms)
    listener.sampled(ms)
  })
  const tiers = new TwoTier({ l1, backend: composed, runtime, counters, listener, quarantineMs })
  const stats = () => snapshot(name, composed, l1, counters, tiers)
  const unregister = register({ stats })
  telemetry?.opened(stats)
  const leave = () => {
    unregister()
    telemetry?.closed()
  }
  return { name, l1, tiers, listener, runtime, stats, close: () => tiers.close().finally(leave) }
}

/** What listens to the store. Loads OpenTelemetry's API, some 9 MiB, with the first store that is to have any. */
async function telemetryOf(
  name: string,
  backend: Backend,
  { telemetry, runtime }: KvSettings,
): Promise<Telemetry | undefined> {
  if (telemetry === false) return undefined
  const { Telemetry } = await import("../telemetry/store-telemetry.ts")
  return new Telemetry(name, backend, runtime, telemetry)
}
