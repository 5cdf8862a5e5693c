import type { FailedOperation } from "../src/failures.ts"
import type { HitOperation } from "../src/listener.ts"

/** The instrumentation scope of every span and metric. */
export const SCOPE = "tiered-kv"

/** Attributes of spans and metrics: the field's own where it has one, else under `tiered_kv`. */
export const ATTRIBUTE = {
  /** Name of the store. */
  name: "cache.name",
  /** Tier that answered: `l1`, `l2`, `loader`. */
  tier: "cache.tier",
  /** `get`, `get_many`, `exists`, `get_or_set`, `set`, `set_many`, `delete`, `delete_many`, `scan`; of loads also `load`, `refresh`; of L1 hits also `peek`. */
  operation: "cache.operation",
  /** `hit`, `stale`, `negative` (known to be absent), `miss`, `bypass` (the caller bypassed L1), `error`, `aborted` (by the caller's signal). */
  result: "cache.result",
  /** Whether a tier held the value. */
  hit: "cache.hit",
  /** Bytes of the value. */
  itemSize: "cache.item_size",
  /** The key, as far as the option `keys` shows it: a list of one, as Sentry has it. */
  key: "cache.key",
  /** On a span: it waited for the read or the load of another caller. */
  coalesced: "tiered_kv.coalesced",
  /** Why a loader was called: `absent`, `refresh_ahead`. */
  loadReason: "tiered_kv.load.reason",
  /** Keys of a batch or a page, by what became of them. */
  keysFromL1: "tiered_kv.keys.l1",
  keysFromL2: "tiered_kv.keys.l2",
  keysAbsent: "tiered_kv.keys.absent",
  /** Attempts after the first. */
  retryCount: "tiered_kv.retry.count",
  /** L1 hits under the span, with `l1Hits: "attribute"`. */
  l1Hits: "tiered_kv.l1.hits",
  /** Why L1 removed an entry: `entries`, `bytes`, `oversize`, `negatives`, `expired`. */
  evictionReason: "tiered_kv.eviction.reason",
  /** What became of a write or a fill: `applied`, `refused`, `error`. */
  outcome: "tiered_kv.outcome",
  /** `read`, `write`. */
  ioDirection: "tiered_kv.io.direction",
  /** What the service bills: `read`, `write`, `delete`. */
  capacityUnit: "tiered_kv.capacity.unit",
  /** The code of a `KvError`, or the name of any other error. */
  errorType: "error.type",
  /** Time to live of the value written, s. */
  ttl: "cache.ttl",
  /** Whether a write took effect. */
  write: "cache.write",
  /** The kind of operation by the terms of Sentry's page of caches: `cache.get`, `cache.put`, `cache.remove`. */
  sentryOp: "sentry.op",
  /** The server of the backend. */
  peerAddress: "network.peer.address",
  peerPort: "network.peer.port",
  dbSystem: "db.system.name",
  dbOperation: "db.operation.name",
  dbCollection: "db.collection.name",
  dbNamespace: "db.namespace",
  /** The script that a call runs on the server. */
  dbProcedure: "db.stored_procedure.name",
  /** The service's code of an error. */
  dbStatus: "db.response.status_code",
  cloudRegion: "cloud.region",
  dbBatchSize: "db.operation.batch.size",
  serverAddress: "server.address",
  serverPort: "server.port",
} as const

/** `sentry.op` of the operations that Sentry's page of caches shows. */
export const SENTRY_OP: Readonly<Partial<Record<string, string>>> = {
  get: "cache.get",
  get_many: "cache.get",
  exists: "cache.get",
  get_or_set: "cache.get",
  set: "cache.put",
  set_many: "cache.put",
  delete: "cache.remove",
  delete_many: "cache.remove",
}

/** `cache.operation`, and the word in the name of a span. */
export const OPERATION = {
  get: "get",
  getMany: "get_many",
  exists: "exists",
  getOrSet: "get_or_set",
  set: "set",
  setMany: "set_many",
  delete: "delete",
  deleteMany: "delete_many",
  scan: "scan",
  peek: "peek",
  refresh: "refresh",
} satisfies Record<FailedOperation | HitOperation, string>

export interface Metric {
  readonly name: string
  readonly unit: string
  readonly description: string
  /** Attributes beside `cache.name`; absent where src/counters.ts has them. */
  readonly attributes?: readonly string[]
}

/** Metrics that only grow, read at each collection. */
export const COUNTERS = {
  requests: {
    name: "tiered_kv.requests",
    unit: "{request}",
    description: "Reads that asked a tier, by what it answered",
  },
  doubledHits: {
    name: "tiered_kv.l1.doubled_hits",
    unit: "{request}",
    description:
      "Reads that an L1 of twice the room would have answered besides, estimated from evicted keys",
  },
  coalesced: {
    name: "tiered_kv.coalesced",
    unit: "{request}",
    description: "Reads that a read or a load under way answered, so that they asked nothing",
  },
  fills: {
    name: "tiered_kv.fills",
    unit: "{entry}",
    description:
      "Values read from the backend, by whether L1 took them: refused if a write or an invalidation came between",
  },
  evictions: {
    name: "tiered_kv.evictions",
    unit: "{entry}",
    description: "Entries that L1 let go for want of room, or because their time was up",
  },
  invalidations: {
    name: "tiered_kv.invalidations",
    unit: "{entry}",
    description: "Entries that a write or an invalidation dropped from L1",
  },
  errors: {
    name: "tiered_kv.errors",
    unit: "{error}",
    description: "Operations that failed for their caller, and refreshes that failed, by type",
    attributes: [ATTRIBUTE.operation, ATTRIBUTE.tier, ATTRIBUTE.errorType],
  },
  aborted: {
    name: "tiered_kv.aborts",
    unit: "{operation}",
    description: "Operations that their caller's signal ended. They are not among the errors",
  },
  writes: {
    name: "tiered_kv.writes",
    unit: "{entry}",
    description: "Keys written or deleted, by outcome: refused if the condition did not hold",
  },
  retries: {
    name: "tiered_kv.retries",
    unit: "{request}",
    description: "Requests to the backend that were sent again, or beside a slow one",
  },
  throttles: {
    name: "tiered_kv.throttles",
    unit: "{request}",
    description: "Requests that the service throttled, in whole or in part",
  },
  refreshes: {
    name: "tiered_kv.refreshes",
    unit: "{load}",
    description: "Loads begun in the background, before their entry expired",
  },
  io: {
    name: "tiered_kv.io",
    unit: "By",
    description: "Bytes of the values read from and written to the backend",
  },
  capacity: {
    name: "tiered_kv.l2.capacity",
    unit: "{unit}",
    description: "Units that the service bills, computed from what was asked and answered: at least so many",
  },
} satisfies Record<string, Metric>

/** Metrics that go up and down, read at each collection. */
export const LEVELS = {
  entryCount: {
    name: "tiered_kv.entry.count",
    unit: "{entry}",
    description: "Entries in L1, absent keys not counted",
  },
  entryLimit: { name: "tiered_kv.entry.limit", unit: "{entry}", description: "Entries that L1 may hold" },
  negativeCount: {
    name: "tiered_kv.negative_entry.count",
    unit: "{entry}",
    description: "Absent keys in L1",
  },
  memoryUsage: {
    name: "tiered_kv.memory.usage",
    unit: "By",
    description: "Bytes that the entries in L1 take",
  },
  memoryLimit: { name: "tiered_kv.memory.limit", unit: "By", description: "Bytes that L1 may hold" },
  inFlight: {
    name: "tiered_kv.inflight",
    unit: "{operation}",
    description: "Reads, writes and loads under way",
  },
  quarantined: {
    name: "tiered_kv.quarantine.count",
    unit: "{entry}",
    description: "Keys that L1 does not hold because an unanswered write may still take effect",
  },
} satisfies Record<string, Metric>

/** They begin at 0.1 ms. Those that are advised for databases begin at 1 ms, too coarse for a cache. */
const DURATIONS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
]

/** Durations, recorded as they end, s. */
export const HISTOGRAMS = {
  operation: {
    name: "tiered_kv.operation.duration",
    unit: "s",
    description: "Operations that L1 could not answer, and refreshes in the background",
    attributes: [ATTRIBUTE.operation, ATTRIBUTE.tier, ATTRIBUTE.result, ATTRIBUTE.errorType],
    boundaries: DURATIONS,
  },
  loader: {
    name: "tiered_kv.loader.duration",
    unit: "s",
    description: "Loaders alone, without the write of what they returned",
    attributes: [ATTRIBUTE.result, ATTRIBUTE.errorType],
    boundaries: DURATIONS,
  },
  l1: {
    name: "tiered_kv.l1.operation.duration",
    unit: "s",
    description:
      "One L1 hit in 256, from its look-up to its answer, and of many between two collections the last 1,024",
    attributes: [ATTRIBUTE.operation],
    boundaries: [1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, 1e-3],
  },
  db: {
    name: "db.client.operation.duration",
    unit: "s",
    description: "Duration of database client operations",
    attributes: [
      ATTRIBUTE.dbSystem,
      ATTRIBUTE.dbOperation,
      ATTRIBUTE.dbCollection,
      ATTRIBUTE.dbNamespace,
      ATTRIBUTE.dbProcedure,
      ATTRIBUTE.cloudRegion,
      ATTRIBUTE.dbStatus,
      ATTRIBUTE.serverAddress,
      ATTRIBUTE.serverPort,
      ATTRIBUTE.errorType,
    ],
    boundaries: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10],
  },
} satisfies Record<string, Metric & { boundaries: number[] }>
