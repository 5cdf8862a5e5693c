import type {
  PointInTimeRecoveryStatus,
  TableDescription,
  TimeToLiveDescription,
} from "@aws-sdk/client-dynamodb"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { KIND } from "./errors.ts"
import type { DynamoDbRequests, Send } from "./requests.ts"

export const PROVISION = "provision"

/** The calls that make and describe one table. All can be repeated. */
export interface TableControl {
  /** `undefined` if there is no such table. */
  describe(): Promise<TableDescription | undefined>
  /** `false` if somebody else has just made it. */
  create(settings: TableSettings): Promise<boolean>
  timeToLive(): Promise<TimeToLiveDescription>
  /** `false` if somebody else has just done so. */
  enableTimeToLive(): Promise<boolean>
  recovery(): Promise<PointInTimeRecoveryStatus | undefined>
  enableRecovery(): Promise<void>
  tag(tags: Readonly<Record<string, string>>): Promise<void>
  /** Asks again and again until there is an answer; rejects with `TIMEOUT` at the deadline. */
  eventually<T>(ask: () => Promise<T | undefined>): Promise<T>
}

export interface TableSettings {
  deletionProtection?: boolean
  tags?: Readonly<Record<string, string>>
}

const POLL_MS = 500

export function tableControl(
  { request }: DynamoDbRequests,
  table: string,
  { runtime, deadline }: { runtime: Runtime; deadline: number },
): TableControl {
  const TableName = table

  async function call<T>(action: string, send: Send<T>): Promise<T> {
    return eventually(async () => {
      try {
        return { answer: await request({ operation: PROVISION, action }, send) }
      } catch (error) {
        // Too many changes of tables at once, or the backups of a new table being set up: it is a matter of time.
        if (error instanceof KvError && error.code === "THROTTLED") return undefined
        if (causedBy(error, "ContinuousBackupsUnavailableException")) return undefined
        throw error
      }
    }).then(({ answer }) => answer)
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

  function timeToLive(): Promise<TimeToLiveDescription> {
    return call("DescribeTimeToLive", async ({ sdk, client }, options) => {
      const command = new sdk.DescribeTimeToLiveCommand({ TableName })
      return (await client.send(command, options)).TimeToLiveDescription ?? {}
    })
  }

  return {
    eventually,

    async describe() {
      try {
        return await call("DescribeTable", async ({ sdk, client }, options) => {
          const { Table } = await client.send(new sdk.DescribeTableCommand({ TableName }), options)
          return Table
        })
      } catch (error) {
        if (error instanceof KvError && error.code === "STORE_NOT_FOUND") return undefined
        throw error
      }
    },

    async create({ deletionProtection = true, tags = {} }) {
      try {
        await call("CreateTable", ({ sdk, client }, options) =>
          client.send(
            new sdk.CreateTableCommand({
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
              ...(Object.keys(tags).length === 0 ? {} : { Tags: tagList(tags) }),
            }),
            options,
          ),
        )
        return true
      } catch (error) {
        if (causedBy(error, "ResourceInUseException")) return false
        throw error
      }
    },

    timeToLive,

    async enableTimeToLive() {
      const TimeToLiveSpecification = { AttributeName: "ttl", Enabled: true }
      try {
        await call("UpdateTimeToLive", ({ sdk, client }, options) =>
          client.send(new sdk.UpdateTimeToLiveCommand({ TableName, TimeToLiveSpecification }), options),
        )
        return true
      } catch (error) {
        if (causedBy(error, "ValidationException") && (await timeToLive()).AttributeName === "ttl")
          return false
        throw error
      }
    },

    recovery: () =>
      call("DescribeContinuousBackups", async ({ sdk, client }, options) => {
        const { ContinuousBackupsDescription } = await client.send(
          new sdk.DescribeContinuousBackupsCommand({ TableName }),
          options,
        )
        return ContinuousBackupsDescription?.PointInTimeRecoveryDescription?.PointInTimeRecoveryStatus
      }),

    async enableRecovery() {
      const PointInTimeRecoverySpecification = { PointInTimeRecoveryEnabled: true }
      await call("UpdateContinuousBackups", ({ sdk, client }, options) =>
        client.send(
          new sdk.UpdateContinuousBackupsCommand({ TableName, PointInTimeRecoverySpecification }),
          options,
        ),
      )
    },

    async tag(tags) {
      await call("TagResource", async ({ sdk, client }, options) => {
        const { Table } = await client.send(new sdk.DescribeTableCommand({ TableName }), options)
        const input = { ResourceArn: Table?.TableArn, Tags: tagList(tags) }
        return client.send(new sdk.TagResourceCommand(input), options)
      })
    },
  }
}

function tagList(tags: Readonly<Record<string, string>>): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }))
}

/** Whether the service's own error, of this name, is underneath. */
export function causedBy(error: unknown, name: string): boolean {
  return error instanceof KvError && error.cause instanceof Error && error.cause.name === name
}
