import type {
  CreateTableCommandInput,
  PointInTimeRecoveryStatus,
  ServiceInputTypes,
  ServiceOutputTypes,
  TableDescription,
  TimeToLiveDescription,
  WarmThroughput,
} from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { causedBy, KIND } from "./errors.ts"
import type { DynamoDbRequests, MakeCommand } from "./requests.ts"

export const PROVISION = "provision"

/** The requests that create and describe one table. Each can be repeated safely. */
export interface TableControl {
  /** `undefined` if the table does not exist. */
  describe(): Promise<TableDescription | undefined>
  /** `false` if the table exists already. */
  create(settings: TableSettings): Promise<boolean>
  timeToLive(): Promise<TimeToLiveDescription>
  /** `false` if it is enabled already. */
  enableTimeToLive(): Promise<boolean>
  recovery(): Promise<PointInTimeRecoveryStatus | undefined>
  enableRecovery(): Promise<void>
  /** Raises the warm throughput. */
  warm(throughput: WarmThroughputSettings): Promise<void>
  tag(tags: Readonly<Record<string, string>>): Promise<void>
  /** Calls `ask` at intervals until it resolves to a result. Rejects with `TIMEOUT` at the deadline. */
  eventually<T>(ask: () => Promise<T | undefined>): Promise<T>
}

export interface WarmThroughputSettings {
  readUnitsPerSecond: number
  writeUnitsPerSecond: number
}

export interface TableSettings {
  deletionProtection?: boolean
  warmThroughput?: WarmThroughputSettings
  tags?: Readonly<Record<string, string>>
}

/** Time between two calls of {@link TableControl.eventually}, ms. */
const POLL_MS = 500

export function tableControl(
  { request }: DynamoDbRequests,
  table: string,
  { runtime, deadline }: { runtime: Runtime; deadline: number },
): TableControl {
  const TableName = table

  async function send<Input extends ServiceInputTypes, Output extends ServiceOutputTypes>(
    action: string,
    command: MakeCommand<Input, Output>,
  ): Promise<Output> {
    return eventually(async () => {
      try {
        return await request({ operation: PROVISION, action, effect: "read" }, command)
      } catch (error) {
        // Both pass with time: too many changes of tables at once, and backups of a new table that are being set up.
        if (error instanceof KvError && error.code === "THROTTLED") return undefined
        if (causedBy(error, "ContinuousBackupsUnavailableException")) return undefined
        throw error
      }
    })
  }

  async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
    for (;;) {
      const answer = await ask()
      if (answer !== undefined) return answer
      if (runtime.monotonic() + POLL_MS > deadline) {
        const message = `table ${table} was not ready in time; provision again to go on from here`
        throw new KvError("TIMEOUT", message, { operation: PROVISION, backend: KIND })
      }
      await new Promise<void>((resolve) => runtime.setTimer(resolve, POLL_MS))
    }
  }

  async function timeToLive(): Promise<TimeToLiveDescription> {
    const described = await send(
      "DescribeTimeToLive",
      (sdk) => new sdk.DescribeTimeToLiveCommand({ TableName }),
    )
    return described.TimeToLiveDescription ?? {}
  }

  async function describeTable(): Promise<TableDescription | undefined> {
    return (await send("DescribeTable", (sdk) => new sdk.DescribeTableCommand({ TableName }))).Table
  }

  return {
    eventually,

    async describe() {
      try {
        return await describeTable()
      } catch (error) {
        if (error instanceof KvError && error.code === "STORE_NOT_FOUND") return undefined
        throw error
      }
    },

    async create({ deletionProtection = true, warmThroughput, tags = {} }) {
      const input: CreateTableCommandInput = {
        TableName,
        AttributeDefinitions: [
          { AttributeName: "pk", AttributeType: "S" },
          { AttributeName: "sk", AttributeType: "S" },
        ],
        KeySchema: [
          { AttributeName: "pk", KeyType: "HASH" },
          { AttributeName: "sk", KeyType: "RANGE" },
        ],
        BillingMode: "PAY_PER_REQUEST",
        SSESpecification: { Enabled: true },
        DeletionProtectionEnabled: deletionProtection,
        ...(warmThroughput === undefined ? {} : { WarmThroughput: unitsOf(warmThroughput) }),
        ...(Object.keys(tags).length === 0 ? {} : { Tags: tagList(tags) }),
      }
      try {
        await send("CreateTable", (sdk) => new sdk.CreateTableCommand(input))
        return true
      } catch (error) {
        if (causedBy(error, "ResourceInUseException")) return false
        throw error
      }
    },

    timeToLive,

    async enableTimeToLive() {
      const input = { TableName, TimeToLiveSpecification: { AttributeName: "ttl", Enabled: true } }
      try {
        await send("UpdateTimeToLive", (sdk) => new sdk.UpdateTimeToLiveCommand(input))
        return true
      } catch (error) {
        if (causedBy(error, "ValidationException") && (await timeToLive()).AttributeName === "ttl")
          return false
        throw error
      }
    },

    async recovery() {
      const { ContinuousBackupsDescription: backups } = await send(
        "DescribeContinuousBackups",
        (sdk) => new sdk.DescribeContinuousBackupsCommand({ TableName }),
      )
      return backups?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus
    },

    async enableRecovery() {
      const input = {
        TableName,
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
      }
      await send("UpdateContinuousBackups", (sdk) => new sdk.UpdateContinuousBackupsCommand(input))
    },

    async warm(throughput) {
      const input = { TableName, WarmThroughput: unitsOf(throughput) }
      await send("UpdateTable", (sdk) => new sdk.UpdateTableCommand(input))
    },

    async tag(tags) {
      const input = { ResourceArn: (await describeTable())?.TableArn, Tags: tagList(tags) }
      await send("TagResource", (sdk) => new sdk.TagResourceCommand(input))
    },
  }
}

function unitsOf({ readUnitsPerSecond, writeUnitsPerSecond }: WarmThroughputSettings): WarmThroughput {
  return { ReadUnitsPerSecond: readUnitsPerSecond, WriteUnitsPerSecond: writeUnitsPerSecond }
}

function tagList(tags: Readonly<Record<string, string>>): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
}
