import type { TableClient, TableEntity } from "@azure/data-tables"
import type { Backend, BackendTraits, Condition, StoredEntry, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { DEFAULTS } from "../limits.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import {
  type Checks,
  checkAllOptions,
  isObject,
  optional,
  runtimeOption,
  text,
  wholeNumber,
} from "../util/checks.ts"
import { countdown } from "../util/deadline.ts"
import { OpenOnce } from "../util/open-once.ts"
import { deleteMany, eachKey, MAX_WRITE_BATCH, putMany } from "./batches.ts"
import { borrowClient, leaseClient } from "./client.ts"
import { decoding, KIND, type Request, responseAttributes } from "./errors.ts"
import { probe } from "./probe.ts"
import { tableRequests } from "./requests.ts"
import {
  compareVersions,
  entityOf,
  HEAD,
  idOf,
  isLive,
  liveEntry,
  type Row,
  resultOf,
  tombstoneOf,
  versionOf,
} from "./row.ts"
import { scanPage } from "./scan.ts"
import { ServiceTimes } from "./service-times.ts"
import { type AzureTablesSettings, checkAzureSettings } from "./settings.ts"
import { type ExpirySweep, SWEEP_TIMEOUT_MS, startExpirySweep } from "./sweep.ts"
import { limitsOf, tooLong } from "./table-limits.ts"

export type { AzureTablesSettings } from "./settings.ts"

export interface AzureTablesOptions {
  /** Name of the table, as `provisionAzureTables` makes them: 3 to 63 letters and digits, a letter first. */
  table: string
  /**
   * Longest time of one request, the body of its answer included, ms, where a call gives none. The backend sends nothing twice; what wraps
   * it sends again.
   * @default 3_000
   */
  requestTimeoutMs?: number
  /**
   * Mean time between two passes of the sweep, ms. Azure does not remove expired rows; each pass removes those of one of the table's 16
   * partitions. All processes that use the table share the passes. 0: no sweep by this process.
   * @default 300_000 (5 minutes)
   */
  sweepIntervalMs?: number
  /** Clocks, timers and random numbers. @default those of the system */
  runtime?: Runtime
}

const DEFAULT_SWEEP_INTERVAL_MS = 300_000

const OPTIONS: Checks = {
  table: text("table", 0),
  requestTimeoutMs: optional(wholeNumber("requestTimeoutMs", 1)),
  sweepIntervalMs: optional(wholeNumber("sweepIntervalMs", 0)),
  runtime: runtimeOption,
}

/** Maximum number of attempts of a conditional write; each attempt fails only if another writer has changed the row meanwhile. */
const MAX_ROUNDS = 8

/**
 * A backend over Azure Table Storage. It uses a client of the caller for the same table, which stays open, or makes a client on demand,
 * which all backends of this process with the same settings share.
 *
 * A conditional delete leaves an expired row, which the sweep removes: see `tombstoneOf`.
 *
 * @throws {KvError} `INVALID_OPTION` if a setting or an option is unknown or has no legal value
 */
export function azureTables(client: TableClient | AzureTablesSettings, options: AzureTablesOptions): Backend {
  if (!isClient(client)) checkAzureSettings(client)
  checkAllOptions(options, OPTIONS, "open")
  const {
    table,
    requestTimeoutMs = DEFAULTS.requestTimeoutMs,
    sweepIntervalMs = DEFAULT_SWEEP_INTERVAL_MS,
    runtime = systemRuntime,
  } = options
  const connection = new OpenOnce(KIND, async () => {
    const lease = await (isClient(client) ? borrowClient(client, table) : leaseClient(client, table, runtime))
    const sweep = sweepOf(lease.resource, runtime, sweepIntervalMs)
    const close = async () => {
      await sweep.stop()
      await lease.release()
    }
    return { client: lease.resource, limits: limitsOf(lease.resource.url), sweep, close }
  })
  const times = new ServiceTimes(table, runtime)
  const limits = () => connection.held?.limits ?? limitsOf(undefined)
  const clientFor = ({ operation, key }: Request) => {
    const { client, limits } = connection.use(operation, key)
    const refusal = key === undefined ? undefined : tooLong(operation, key, limits)
    if (refusal !== undefined) throw refusal
    return client
  }
  const requests = tableRequests(clientFor, { runtime, requestTimeoutMs, times })

  function entryOf(operation: string, key: string, row: Row): StoredEntry | undefined {
    const entry = decoding(operation, key, () => liveEntry(row, runtime.now()))
    if (entry === undefined) connection.held?.sweep.offer(key, row)
    return entry
  }

  /** Writes `entity`, whose identity is `id`, if the key holds what the condition expects: no row, or the row with its ETag. */
  async function writeIf(
    operation: string,
    key: string,
    id: string,
    condition: Condition,
    entity: TableEntity,
    timeoutMs: number = requestTimeoutMs,
  ): Promise<WriteResult> {
    const leftMs = countdown(runtime, timeoutMs)
    const create = "absent" in condition
    const expected = (row: Row) =>
      decoding(operation, key, () => {
        const live = isLive(row, runtime.now())
        return create ? !live : live && versionOf(row) === condition.version
      })

    // A create usually finds no row, so it inserts before it reads.
    const head = () => requests.read(operation, key, { select: HEAD, limitMs: leftMs() })
    let row = create ? undefined : await head()
    for (let round = 0; round < MAX_ROUNDS; round++) {
      if (row !== undefined && idOf(row) === id) return { applied: true, version: versionOf(row) }
      if (row === undefined ? !create : !expected(row)) return { applied: false }
      const written =
        row === undefined
          ? await requests.insert(operation, entity, leftMs())
          : await requests.replace(operation, entity, row.etag, leftMs())
      if (written !== undefined) return resultOf(written, id)
      row = await head()
    }
    throw new KvError("THROTTLED", "other writers changed the row each time that it was to be written", {
      operation,
      backend: KIND,
      key,
    })
  }

  return {
    traits: traitsOf(table, () => connection.held?.client.url),

    open: () => connection.open(),
    close: () => connection.close(),

    async get(key, { timeoutMs } = {}) {
      const row = await requests.read("get", key, { limitMs: timeoutMs })
      return row && entryOf("get", key, row)
    },

    async getMany(keys, { timeoutMs = requestTimeoutMs } = {}) {
      const leftMs = countdown(runtime, timeoutMs)
      const entries = new Map<string, StoredEntry | KvError>()
      const read = async (key: string) => {
        const row = await requests.read("getMany", key, { limitMs: leftMs() })
        return row && entryOf("getMany", key, row)
      }
      for (const [key, entry] of await eachKey(keys, read)) if (entry !== undefined) entries.set(key, entry)
      return entries
    },

    async exists(key, { timeoutMs } = {}) {
      const row = await requests.read("exists", key, { select: HEAD, limitMs: timeoutMs })
      return row !== undefined && decoding("exists", key, () => isLive(row, runtime.now()))
    },

    async put(key, write, { timeoutMs } = {}) {
      const { id, condition } = write
      const entity = entityOf(key, write, runtime.now())
      if (condition !== undefined) return writeIf("put", key, id, condition, entity, timeoutMs)
      return resultOf(await requests.upsert("put", entity, timeoutMs), id)
    },

    putMany: (writes, { timeoutMs = requestTimeoutMs } = {}) =>
      putMany(requests, writes, runtime.now(), countdown(runtime, timeoutMs), limits()),

    async delete(key, { id, condition }, { timeoutMs } = {}) {
      if (condition === undefined) {
        await requests.remove("delete", key, "*", timeoutMs)
        return { applied: true }
      }
      const tombstone = tombstoneOf(key, id, runtime.now())
      const { applied } = await writeIf("delete", key, id, condition, tombstone, timeoutMs)
      return { applied }
    },

    deleteMany: (removals, { timeoutMs = requestTimeoutMs } = {}) =>
      deleteMany(requests, removals, countdown(runtime, timeoutMs), limits()),

    scan: (prefix, page) =>
      scanPage({ requests, runtime, timeoutMs: requestTimeoutMs }, prefix, page, (row) => {
        const { rowKey: key = "" } = row
        const entry = entryOf("scan", key, row)
        return entry && { key, ...entry }
      }),

    probe: (keys, { timeoutMs = requestTimeoutMs } = {}) =>
      probe(requests, keys, { runtime, times, timeoutMs }),

    serviceTime: (key) => times.now(key),

    compareVersions,
  }
}

function sweepOf(client: TableClient, runtime: Runtime, intervalMs: number): ExpirySweep {
  const times = new ServiceTimes(client.tableName, runtime)
  const requests = tableRequests(() => client, { runtime, requestTimeoutMs: SWEEP_TIMEOUT_MS, times })
  return startExpirySweep(requests, times, runtime, intervalMs)
}

function isClient(source: unknown): source is TableClient {
  return isObject(source) && "getEntity" in source
}

function traitsOf(table: string, url: () => string | undefined): BackendTraits {
  return {
    kind: KIND,
    target: table,
    get root() {
      return JSON.stringify([KIND, url(), table])
    },
    system: "azure.table_storage",
    get place() {
      const { hostname, port } = new URL(url() ?? "unknown:")
      return {
        collection: table,
        ...(hostname === "" ? {} : { address: hostname }),
        ...(port === "" ? {} : { port: Number(port) }),
      }
    },
    responseAttributes,
    inProcess: false,
    ordered: true,
    // The service has no batched read: `getMany` sends one request a key, eight at a time.
    maxReadBatch: 1,
    maxWriteBatch: MAX_WRITE_BATCH,
    calls: {
      get: "QueryEntity",
      getMany: "QueryEntity",
      exists: "QueryEntity",
      put: "InsertOrReplaceEntity",
      putMany: "EntityGroupTransaction",
      delete: "DeleteEntity",
      deleteMany: "EntityGroupTransaction",
      scan: "QueryEntities",
    },
    conditionalDelete: { call: "UpdateEntity" },
  }
}
