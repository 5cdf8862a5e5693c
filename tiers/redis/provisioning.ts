import type { Redis } from "ioredis"
import { DEFAULTS } from "../limits.ts"
import type { ProvisioningReport, ProvisioningStep } from "../provisioning.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import { type Checks, checkOptions, optional, runtimeOption, wholeNumber } from "../util/checks.ts"
import { primaryNodes, type RedisClient } from "./client.ts"
import { redisConnection } from "./connection.ts"
import type { RedisSettings } from "./settings.ts"
import { resolveTarget } from "./target.ts"

export { DATA_COMMANDS as REDIS_DATA_COMMANDS } from "./errors.ts"

export interface RedisCheck {
  /** Number of the database, as for the backend. */
  database?: number
  /** Longest time of one command, ms. @default 3_000 */
  requestTimeoutMs?: number
  /** Clock and timers. @default the system's */
  runtime?: Runtime
}

const OPTIONS: Checks = {
  database: optional(wholeNumber("database", 0)),
  requestTimeoutMs: optional(wholeNumber("requestTimeoutMs", 1)),
  runtime: runtimeOption,
}

/**
 * Checks a Redis server, or every primary of a cluster, and reports settings that may lose entries or writes. It creates and changes nothing:
 * a store on Redis needs no preparation.
 *
 * Rejects as opening the backend does: `INVALID_OPTION`, `BINDING_INVALID`, `ACCESS_DENIED`, `UNAVAILABLE`, …
 */
export async function checkRedis(
  target: RedisClient | RedisSettings | string,
  options: RedisCheck = {},
): Promise<ProvisioningReport> {
  checkOptions(options, OPTIONS, "provision")
  const { requestTimeoutMs = DEFAULTS.requestTimeoutMs, runtime = systemRuntime, ...settings } = options
  const { source, description } = resolveTarget(target, settings)
  const connection = redisConnection(source, {
    runtime,
    requestTimeoutMs,
    connectTimeoutMs: requestTimeoutMs,
    opensLazily: false,
    role: "any",
  })
  await connection.open()
  try {
    const request = { operation: "provision", effect: "read", timeoutMs: requestTimeoutMs } as const
    const nodes = primaryNodes(connection.client(request))
    const facts = await connection.answered(request, Promise.all(nodes.map(factsOf)))
    const steps = facts.flatMap((fact) => stepsOf(fact, nodes.length > 1))
    return { target: `Redis at ${description}`, steps }
  } finally {
    await connection.close()
  }
}

interface Facts {
  /** `HOST:PORT`, or the path of a socket. */
  node: string
  /** The fields of `INFO`. */
  info: ReadonlyMap<string, string>
  /** When snapshots are written, in the words of `save`; `undefined` if the server does not tell. */
  snapshots: string | undefined
}

async function factsOf(node: Redis): Promise<Facts> {
  const [text, snapshots] = await Promise.all([node.info(), snapshotsOf(node)])
  const fields = Array.from(
    text.matchAll(/^(\w+):(.*?)\r?$/gm),
    ([, name = "", value = ""]) => [name, value] as const,
  )
  const { path, host, port } = node.options
  return { node: path ?? `${host}:${port}`, info: new Map(fields), snapshots }
}

/** Hosted Redis often forbids `CONFIG`. */
async function snapshotsOf(node: Redis): Promise<string | undefined> {
  try {
    const reply: unknown = await node.config("GET", "save")
    return Array.isArray(reply) ? String(reply[1]) : undefined
  } catch {
    return undefined
  }
}

function stepsOf(facts: Facts, several: boolean): ProvisioningStep[] {
  const steps = [version(facts), role(facts), eviction(facts), memory(facts), ...persistence(facts)]
  return several ? steps.map((step) => ({ ...step, name: `${facts.node}: ${step.name}` })) : steps
}

/** Before 5, a script that asks for the time may not write. */
const LEAST_VERSION = 5

function version({ info }: Facts): ProvisioningStep {
  const valkey = info.get("valkey_version")
  const number = valkey ?? info.get("redis_version") ?? "of unknown version"
  const name = `server ${valkey === undefined ? "Redis" : "Valkey"} ${number}`
  if (!(Number.parseInt(number, 10) < LEAST_VERSION)) return { name, outcome: "verified" }
  return {
    name,
    outcome: "differs",
    detail: `stores need Redis ${LEAST_VERSION} or later, or Valkey: their writes fail here`,
  }
}

function role({ info }: Facts): ProvisioningStep {
  const name = "role primary"
  if (info.get("role") !== "slave") return { name, outcome: "verified" }
  const detail =
    "the server is a replica: writes to it fail, and reads may be behind; give the address of the primary"
  return { name, outcome: "differs", detail }
}

function eviction({ info }: Facts): ProvisioningStep {
  const policy = info.get("maxmemory_policy")
  const name = `eviction policy ${policy ?? "unknown"}`
  if (policy === undefined) return { name, outcome: "unsupported" }
  if (policy === "noeviction") return { name, outcome: "verified" }
  const victims = policy.startsWith("allkeys-") ? "any entry" : "any entry with a time to live"
  const detail =
    `when its memory is full the server removes ${victims}, a lock that is held or a session in use among them; ` +
    "that is good for caches alone, for the rest set maxmemory-policy noeviction"
  return { name, outcome: "differs", detail }
}

function memory({ info }: Facts): ProvisioningStep {
  const limit = Number(info.get("maxmemory") ?? Number.NaN)
  if (Number.isNaN(limit)) return { name: "memory limit unknown", outcome: "unsupported" }
  if (limit > 0) return { name: `memory limit ${limit} bytes`, outcome: "verified" }
  const detail =
    "maxmemory is not set: the server grows until the machine has no memory left, and is then killed"
  return { name: "memory limit", outcome: "differs", detail }
}

function persistence({ info, snapshots }: Facts): ProvisioningStep[] {
  const steps: ProvisioningStep[] = []
  const appendOnly = info.get("aof_enabled") === "1"
  if (appendOnly) steps.push({ name: "persistence append-only file", outcome: "verified" })
  else if (snapshots === undefined)
    steps.push({
      name: "persistence",
      outcome: "unsupported",
      detail: "the server does not tell: see its console",
    })
  else {
    const detail =
      snapshots === ""
        ? "nothing is written to disk: a restart loses every entry, locks included; set appendonly yes, unless all of it is a cache"
        : "snapshots alone are written: a crash loses what was written since the last; set appendonly yes, unless all of it is a cache"
    steps.push({ name: "persistence", outcome: "differs", detail })
  }
  for (const [field, what] of [
    ["rdb_last_bgsave_status", "snapshot"],
    ["aof_last_write_status", "write to the append-only file"],
  ] as const) {
    if ((info.get(field) ?? "ok") === "ok") continue
    const detail = `the last ${what} failed, and the server may refuse writes until one succeeds: see its log and its disk`
    steps.push({ name: `last ${what}`, outcome: "differs", detail })
  }
  return steps
}
