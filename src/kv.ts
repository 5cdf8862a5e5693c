import { Telemetry } from "../telemetry/store-telemetry.ts"
import { openSuppressed, suppressing } from "../telemetry/suppression.ts"
import type { Backend } from "../tiers/backend.ts"
import type { Bus } from "../tiers/buses/bus.ts"
import { locate } from "../tiers/errors.ts"
import { L1 } from "../tiers/l1/l1.ts"
import type { ResilienceOptions } from "../tiers/wrappers/resilience/options.ts"
import type { Kv, KvOptions } from "./api.ts"
import { busVariable, type MakeBus, resolveBus } from "./binding/bus.ts"
import { type Binding, backendOf, identityOf } from "./binding/catalogue.ts"
import { resolveBinding } from "./binding/environment.ts"
import { announceFallback } from "./binding/fallback.ts"
import { parseUrlOf } from "./binding/url.ts"
import { TwoTier } from "./coherence/two-tier.ts"
import { counting } from "./counting.ts"
import type { Failures } from "./failures.ts"
import { HitTimes } from "./hit-times.ts"
import type { OpenStore } from "./open-store.ts"
import { register, sharedStores } from "./open-stores.ts"
import { checkName } from "./operations/keys.ts"
import { checkKvOptions, type KvSettings, kvSettings } from "./options.ts"
import { durationsOf, newCounters, snapshot } from "./stats.ts"
import { Store } from "./store.ts"

/**
 * Opens the store called `name`. Its backend is, in this order: `options.backend`; the URL in the environment variable
 * `KV_<NAME>_URL`; the JSON in `ALIEN_<NAME>_BINDING`; an embedded LMDB store under `.kv/<name>` of the working
 * directory, unless `NODE_ENV` is `production` or `KV_STRICT` is `1`; unless `NODE_ENV` is `development` or `test`, it is said on standard error. `<NAME>` is the name in upper case with `-` as `_`.
 *
 * Two calls with the same name and no options return two handles of one store with one L1. Each handle is closed separately.
 *
 * @param name 1 to 64 characters of `A-Z a-z 0-9 - _`
 * @throws {KvError} `INVALID_ID`, `INVALID_OPTION`, `BINDING_NOT_CONFIGURED`, `BINDING_INVALID`, `DEPENDENCY_MISSING`,
 * or the error with which the backend fails to open: `ACCESS_DENIED`, `UNAVAILABLE`
 */
export async function kv(name: string, options?: KvOptions): Promise<Kv> {
  checkName(name, "open")
  checkKvOptions(options)
  const makeBus = resolveBus(name, options?.bus, process.env)
  const settings = kvSettings(options, makeBus !== undefined)
  const given = options?.backend
  if (typeof given === "object") return handleOf(await compose(name, given, settings, makeBus))
  const binding = given === undefined ? resolveBinding(name, process.env) : parseUrlOf(name, given)
  const open = () => openOwned(name, binding, settings, makeBus)
  if (options !== undefined && Object.keys(options).length > 0) return handleOf(await open())
  const identity = JSON.stringify([name, process.cwd(), identityOf(binding), process.env[busVariable(name)]])
  const { resource, release } = await sharedStores.acquire(identity, settings.runtime, open)
  return new Store(resource, release)
}

/** The handle of a store that is not shared. */
function handleOf(store: OpenStore): Kv {
  return new Store(store, () => store.close())
}

/** Opens a store with a backend of its own. If that fails, the backend is closed. */
async function openOwned(
  name: string,
  binding: Binding,
  settings: KvSettings,
  makeBus: MakeBus,
): Promise<OpenStore> {
  const backend = await backendOf(binding, settings)
  try {
    const store = await compose(name, backend, settings, makeBus)
    if (binding.isFallback) await announceFallback(name, backend.traits.target)
    return { ...store, close: () => store.close().finally(() => backend.close()) }
  } catch (error) {
    await backend.close().catch(() => {})
    throw error
  }
}

/** Composes the tiers of a store: opens the backend, wraps it, puts L1 before it, attaches the bus and telemetry. */
async function compose(
  name: string,
  backend: Backend,
  settings: KvSettings,
  makeBus: MakeBus,
): Promise<OpenStore> {
  const { runtime, resilience, quarantineMs, isolated, staleness } = settings
  const { inProcess } = backend.traits
  try {
    await (inProcess ? backend.open() : openSuppressed(() => backend.open()))
  } catch (error) {
    locate(error, { store: name, target: backend.traits.target })
    throw error
  }
  const counters = newCounters(() => runtime.now(), name, backend.traits.target)
  const telemetry = telemetryOf(name, backend, settings, counters.failures)
  const listener = telemetry ?? counting(counters.failures)
  const composed = inProcess
    ? backend
    : await overNetwork(backend, {
        ...resilience,
        runtime,
        counters,
        observer: telemetry?.calls ?? suppressing,
      })
  const l1 = new L1(settings.l1, runtime, () => hitTimes.begin())
  const hitTimes = new HitTimes(runtime, counters, listener, () => l1.lookUps)
  const bus = makeBus && { bus: await makeBus(), staleness }
  const tiers = new TwoTier({
    ...{ l1, backend: composed, runtime, counters, listener, quarantineMs, isolated, bus },
    root: backend.traits.root ?? backend,
  })
  await openBus(tiers, name, bus?.bus)
  const stats = () => {
    const all = snapshot(name, composed, l1, counters, tiers)
    const bus = tiers.busStats()
    return bus === undefined ? all : { ...all, bus }
  }
  const unregister = register({ stats, durations: () => durationsOf(counters) })
  telemetry?.opened(stats)
  const leave = () => {
    unregister()
    telemetry?.closed()
  }
  return { name, l1, tiers, listener, runtime, stats, close: () => tiers.close().finally(leave) }
}

/** Opens the bus of a store, if it has one. If that fails, the store is closed. */
async function openBus(tiers: TwoTier, name: string, bus: Bus | undefined): Promise<void> {
  if (tiers.bus === undefined || bus === undefined) return
  try {
    await tiers.bus.open()
  } catch (error) {
    locate(error, { store: name, target: bus.traits.target })
    await tiers.close()
    throw error
  }
}

/** Adds what a backend over a network needs: deadlines, retries and batched reads. */
async function overNetwork(backend: Backend, options: ResilienceOptions): Promise<Backend> {
  const [{ coalescing }, { resilient }] = await Promise.all([
    import("../tiers/wrappers/coalescing.ts"),
    import("../tiers/wrappers/resilience/resilience.ts"),
  ])
  return coalescing(resilient(backend, options))
}

/** The telemetry of a store. */
function telemetryOf(
  name: string,
  backend: Backend,
  { telemetry, runtime }: KvSettings,
  failures: Failures,
): Telemetry | undefined {
  if (telemetry === false) return undefined
  return new Telemetry(name, backend, runtime, failures, telemetry)
}
