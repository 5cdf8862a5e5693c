import type { DynamoDBClient, TableDescription } from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import type { ProvisioningOutcome, ProvisioningReport, ProvisioningStep } from "../provisioning.ts"
import { type Runtime, systemRuntime } from "../runtime.ts"
import {
  bool,
  type Checks,
  checkAllOptions,
  group,
  isObject,
  optional,
  rule,
  runtimeOption,
  text,
  wholeNumber,
} from "../util/checks.ts"
import type { DynamoDbSettings } from "./client.ts"
import { PROVISION, type TableControl, tableControl, type WarmThroughputSettings } from "./control-plane.ts"
import { causedBy, KIND } from "./errors.ts"
import { dynamodbRequests } from "./requests.ts"

export interface DynamoDbProvisioning {
  table: string
  /** Whether a table that is created is protected against deletion. @default true */
  deletionProtection?: boolean
  /**
   * Throughput that the table can take at once, units a second: at least 12,000 of reads and 4,000 of writes, which a new table has by
   * itself. An existing table is raised to it. AWS charges once for it, and never lowers it.
   * @default what the table has
   */
  warmThroughput?: WarmThroughputSettings
  /** Tags to set. Other tags of the table are kept. @default none */
  tags?: Readonly<Record<string, string>>
  /** Longest time of the whole provisioning, ms. AWS takes about ten seconds to create a table. @default 120_000 */
  timeoutMs?: number
  /** Clock and timers. @default those of the system */
  runtime?: Runtime
}

const DEFAULT_TIMEOUT_MS = 120_000
const MAX_REQUEST_TIMEOUT_MS = 10_000

/** A new table on demand has this warm throughput, and accepts no lower one. */
const LEAST_WARM_READS = 12_000
const LEAST_WARM_WRITES = 4_000

const WARM_THROUGHPUT = group("warmThroughput", {
  readUnitsPerSecond: wholeNumber("warmThroughput.readUnitsPerSecond", LEAST_WARM_READS),
  writeUnitsPerSecond: wholeNumber("warmThroughput.writeUnitsPerSecond", LEAST_WARM_WRITES),
})

const OPTIONS: Checks = {
  table: text("table"),
  deletionProtection: optional(bool("deletionProtection")),
  warmThroughput: optional(WARM_THROUGHPUT),
  tags: optional(rule("tags", isObject, "an object of texts")),
  timeoutMs: optional(wholeNumber("timeoutMs", 1)),
  runtime: runtimeOption,
}

/** The actions that the policy of a service has to allow, so that it can read and write a store. */
export const DYNAMODB_DATA_ACTIONS = [
  "dynamodb:GetItem",
  "dynamodb:BatchGetItem",
  "dynamodb:Query",
  "dynamodb:PutItem",
  "dynamodb:DeleteItem",
  "dynamodb:BatchWriteItem",
  "dynamodb:DescribeTable",
] as const

/**
 * The actions that a policy has to allow for {@link provisionDynamodb}: `UpdateTable` for `warmThroughput` on an existing table, and
 * `TagResource` for `tags`.
 */
export const DYNAMODB_PROVISIONING_ACTIONS = [
  "dynamodb:CreateTable",
  "dynamodb:DescribeTable",
  "dynamodb:DescribeTimeToLive",
  "dynamodb:UpdateTimeToLive",
  "dynamodb:DescribeContinuousBackups",
  "dynamodb:UpdateContinuousBackups",
  "dynamodb:UpdateTable",
  "dynamodb:TagResource",
] as const

/**
 * Creates the table of a store, with TTL on `ttl`, point-in-time recovery, encryption under the account's own key for DynamoDB, on-demand
 * billing and deletion protection. If the table exists, it turns on TTL and recovery, raises the warm throughput, sets the tags, and reports
 * every other difference. Of a global table it reports what a store cannot keep there: see {@link globalTableSteps}.
 *
 * Rejects with `BINDING_INVALID` if the table has other keys, because keys cannot be changed, and with `INVALID_OPTION` if a setting or an
 * option is unknown or has no legal value.
 */
export async function provisionDynamodb(
  client: DynamoDBClient | DynamoDbSettings,
  options: DynamoDbProvisioning,
): Promise<ProvisioningReport> {
  checkAllOptions(options, OPTIONS, PROVISION)
  const { table, tags = {}, timeoutMs = DEFAULT_TIMEOUT_MS, runtime = systemRuntime } = options
  const requestTimeoutMs = Math.min(timeoutMs, MAX_REQUEST_TIMEOUT_MS)
  const requests = dynamodbRequests(client, { table, requestTimeoutMs, runtime })
  const control = tableControl(requests, table, { runtime, deadline: runtime.monotonic() + timeoutMs })
  await requests.open()
  try {
    const { table: found, steps: ofTable } = await ensureTable(control, options)
    const steps = [
      ...ofTable,
      ...globalTableSteps(found),
      isStrong(found) ? NO_TIME_TO_LIVE : await ensureTimeToLive(control),
      await ensureRecovery(control),
      ...(options.warmThroughput === undefined
        ? []
        : [await ensureWarmThroughput(control, found, options.warmThroughput)]),
      ...(Object.keys(tags).length === 0 ? [] : [await ensureTags(control, tags)]),
    ]
    return { target: `table ${table}`, steps }
  } finally {
    await requests.close()
  }
}

async function ensureTable(
  control: TableControl,
  options: DynamoDbProvisioning,
): Promise<{ table: TableDescription; steps: ProvisioningStep[] }> {
  const found = await control.describe()
  const created = found === undefined && (await control.create(options))
  const table = await control.eventually(async () => {
    const description = await control.describe()
    return description?.TableStatus === "ACTIVE" || description?.TableStatus === "UPDATING"
      ? description
      : undefined
  })
  checkKeys(table)
  const step = (name: string, holds: boolean, detail: string): ProvisioningStep => {
    if (holds) return { name, outcome: created ? "created" : "verified" }
    return { name, outcome: created ? "unsupported" : "differs", detail }
  }
  const { deletionProtection = true } = options
  const steps = [
    step("table", true, ""),
    step(
      "on-demand billing",
      table.BillingModeSummary?.BillingMode === "PAY_PER_REQUEST",
      "the table has provisioned capacity, and throttles what exceeds it; set its billing mode to PAY_PER_REQUEST",
    ),
    step(
      "encryption under the account's key",
      table.SSEDescription?.Status !== undefined && table.SSEDescription.Status !== "DISABLED",
      "the table is encrypted under a key that AWS owns and that leaves no trail; turn on its SSE with KMS",
    ),
    step(
      `deletion protection ${deletionProtection ? "on" : "off"}`,
      (table.DeletionProtectionEnabled ?? false) === deletionProtection,
      `it is ${deletionProtection ? "off: anyone who may call DeleteTable can drop the store" : "on"}`,
    ),
  ]
  return { table, steps }
}

const KEYS = "pk HASH S, sk RANGE S"

function checkKeys({ TableName, KeySchema = [], AttributeDefinitions = [] }: TableDescription): void {
  const types = new Map(
    AttributeDefinitions.map((attribute) => [attribute.AttributeName, attribute.AttributeType]),
  )
  const found = KeySchema.map((key) => `${key.AttributeName} ${key.KeyType} ${types.get(key.AttributeName)}`)
  if (found.join(", ") === KEYS) return
  throw new KvError(
    "BINDING_INVALID",
    `table ${TableName} has the keys ${found.join(", ")}; a store needs ${KEYS}, and keys cannot be changed: use another table`,
    { operation: PROVISION, backend: KIND },
  )
}

const TIME_TO_LIVE = "TTL on `ttl`"

async function ensureTimeToLive(control: TableControl): Promise<ProvisioningStep> {
  const name = TIME_TO_LIVE
  const { TimeToLiveStatus: status = "DISABLED", AttributeName: attribute } = await control.timeToLive()
  if (status === "DISABLED") {
    return { name, outcome: (await control.enableTimeToLive()) ? "created" : "verified" }
  }
  if (status === "DISABLING") {
    const detail = "it is being turned off, which takes up to an hour; provision again then"
    return { name, outcome: "differs", detail }
  }
  if (attribute === "ttl") return { name, outcome: "verified" }
  const detail = `it is on \`${attribute}\`, so expired rows stay and cost; turn it off, and provision again`
  return { name, outcome: "differs", detail }
}

/** Whether the table is a global table with strong consistency between its regions. */
function isStrong({ MultiRegionConsistency }: TableDescription): boolean {
  return MultiRegionConsistency === "STRONG"
}

const NO_TIME_TO_LIVE: ProvisioningStep = {
  name: TIME_TO_LIVE,
  outcome: "differs",
  detail:
    "a global table with strong consistency has no TTL: expired rows are absent to every call, but stay and cost until something deletes them",
}

/** Each region of an eventually consistent global table checks conditions against its own copy, and the last write wins. */
function globalTableSteps(table: TableDescription): ProvisioningStep[] {
  const name = "conditions hold across regions"
  const others = (table.Replicas ?? []).map(({ RegionName }) => RegionName)
  if (others.length === 0) return []
  if (isStrong(table)) return [{ name, outcome: "verified" }]
  const detail =
    `the global table (${others.join(", ")}) replicates later: two regions can hold one lock, the later of two writes wins, ` +
    "and a strong read sees its own region alone; use every store on it from one region, or a table of its own for locks"
  return [{ name, outcome: "differs", detail }]
}

async function ensureWarmThroughput(
  control: TableControl,
  { WarmThroughput: found }: TableDescription,
  wanted: WarmThroughputSettings,
): Promise<ProvisioningStep> {
  const { readUnitsPerSecond: reads, writeUnitsPerSecond: writes } = wanted
  const name = `warm throughput of ${reads} reads and ${writes} writes a second`
  const { ReadUnitsPerSecond: foundReads, WriteUnitsPerSecond: foundWrites } = found ?? {}
  if (foundReads === undefined || foundWrites === undefined) {
    return {
      name,
      outcome: "unsupported",
      detail: "neither the service nor the SDK reports it: update the SDK",
    }
  }
  if (foundReads >= reads && foundWrites >= writes) return { name, outcome: "verified" }
  // It is never lowered, not even one of the two.
  await control.warm({
    readUnitsPerSecond: Math.max(reads, foundReads),
    writeUnitsPerSecond: Math.max(writes, foundWrites),
  })
  return { name, outcome: "created" }
}

async function ensureRecovery(control: TableControl): Promise<ProvisioningStep> {
  const name = "point-in-time recovery"
  return orUnsupported(name, async () => {
    if ((await control.recovery()) === "ENABLED") return "verified"
    await control.enableRecovery()
    return "created"
  })
}

/** Sets the tags without reading them first, because reading them needs another permission. */
async function ensureTags(
  control: TableControl,
  tags: Readonly<Record<string, string>>,
): Promise<ProvisioningStep> {
  return orUnsupported("tags", async () => {
    await control.tag(tags)
    return "set"
  })
}

async function orUnsupported(
  name: string,
  ensure: () => Promise<ProvisioningOutcome>,
): Promise<ProvisioningStep> {
  try {
    return { name, outcome: await ensure() }
  } catch (error) {
    if (causedBy(error, "UnknownOperationException")) return { name, outcome: "unsupported" }
    throw error
  }
}
