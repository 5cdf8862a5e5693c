import type { Backend } from "../../tiers/backend.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { CallListener } from "../listener.ts"
import type { Binding } from "./binding.ts"

/** The backend of a binding, not yet opened. The one place that knows them all; each loads when it is first named. */
export async function backendOf(binding: Binding, runtime: Runtime, timeoutMs: number): Promise<Backend> {
  switch (binding.service) {
    case "memory":
      return (await import("../../tiers/memory.ts")).memory({ runtime })
    case "lmdb": {
      const { path, keyPrefix } = binding
      const backend = (await import("../../tiers/lmdb/backend.ts")).lmdb(path, { runtime })
      return keyPrefix === undefined
        ? backend
        : (await import("../../tiers/wrappers/prefixed.ts")).prefixed(backend, keyPrefix)
    }
    case "redis": {
      const { url, keyPrefix, database } = binding
      const options = {
        runtime,
        timeoutMs,
        connectTimeoutMs: timeoutMs,
        ...(keyPrefix === undefined ? {} : { prefix: keyPrefix }),
        ...(database === undefined ? {} : { database }),
      }
      return (await import("../../tiers/redis/backend.ts")).redis(url, options)
    }
    case "dynamodb": {
      const { region, endpoint, table } = binding
      const settings = {
        ...(region === undefined ? {} : { region }),
        ...(endpoint === undefined ? {} : { endpoint }),
      }
      return (await import("../../tiers/dynamodb/backend.ts")).dynamodb(settings, {
        table,
        runtime,
        timeoutMs,
      })
    }
    case "firestore": {
      const { project, database, collection, endpoint } = binding
      const settings = {
        projectId: project,
        databaseId: database,
        ...(endpoint === undefined ? {} : { endpoint }),
      }
      return (await import("../../tiers/firestore/backend.ts")).firestore(settings, {
        collection,
        runtime,
        timeoutMs,
      })
    }
    case "azure-tables": {
      const { account, table, endpoint } = binding
      const settings = { account, ...(endpoint === undefined ? {} : { endpoint }) }
      return (await import("../../tiers/azure-tables/backend.ts")).azureTables(settings, {
        table,
        runtime,
        timeoutMs,
      })
    }
  }
}

/** What a backend over a network needs: calls that end in time and are tried again, and reads that travel together. */
export async function overNetwork(
  backend: Backend,
  runtime: Runtime,
  timeoutMs: number,
  listener: CallListener | undefined,
): Promise<Backend> {
  const [{ coalescing }, { resilient }] = await Promise.all([
    import("../../tiers/wrappers/coalescing.ts"),
    import("../../tiers/wrappers/resilience/resilience.ts"),
  ])
  if (listener === undefined) return coalescing(resilient(backend, { runtime, timeoutMs }))
  const onRetry = () => listener.onRetry()
  const tried = resilient(listener.metered(backend), { runtime, timeoutMs, onRetry })
  return coalescing(listener.observed(tried), {
    capture: () => listener.capture(),
    run: (captured, _keys, send) => listener.run(captured, send),
  })
}
