import {
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  UpdateTimeToLiveCommand,
} from "@aws-sdk/client-dynamodb"
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { DYNAMODB_PROVISIONING_ACTIONS, provisionDynamodb } from "../../../tiers/dynamodb/provisioning.ts"
import type { ProvisioningReport } from "../../../tiers/provisioning.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import {
  actionOf,
  awsError,
  awsReply,
  localSettings,
  localTables,
  startDynamodbLocal,
} from "../../servers/dynamodb.ts"
import { type FaultProxy, faultProxy } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"

await requireServer("dynamodb", startDynamodbLocal, (server) => {
  const settings = localSettings(server.port)
  const tables = localTables(server)
  let proxy: FaultProxy
  let called: string[] = []

  beforeAll(async () => {
    proxy = await faultProxy(server.port, "http1")
  })
  beforeEach(() => {
    proxy.clear()
    called = []
    proxy.observe((request) => called.push(actionOf(request)))
  })
  afterAll(async () => {
    await proxy.close()
    tables.client.destroy()
  })

  const provision = (table: string, options: object = {}) =>
    provisionDynamodb(localSettings(proxy.port), { table, runtime: impatient, ...options })
  const answer = (action: string, response: string, times = 1) =>
    proxy.inject({ kind: "respond", response, times, when: (request) => actionOf(request) === action })

  test("provisionDynamodb makes a table that holds a store", async () => {
    const report = await provision("made", { tags: { team: "a" } })
    expect(report.target).toBe("table made")
    expect(outcomes(report)).toEqual({
      table: "created",
      "on-demand billing": "created",
      "encryption under the account's key": "unsupported",
      "deletion protection on": "created",
      "TTL on `ttl`": "created",
      "point-in-time recovery": "unsupported",
      tags: "unsupported",
    })
    const { Table } = await tables.client.send(new DescribeTableCommand({ TableName: "made" }))
    expect(Table).toMatchObject({
      BillingModeSummary: { BillingMode: "PAY_PER_REQUEST" },
      DeletionProtectionEnabled: true,
    })
    const ttl = await tables.client.send(new DescribeTimeToLiveCommand({ TableName: "made" }))
    expect(ttl.TimeToLiveDescription).toEqual({ AttributeName: "ttl", TimeToLiveStatus: "ENABLED" })

    const backend = dynamodb(settings, { table: "made" })
    await backend.open()
    await backend.put("key", { value: Uint8Array.of(1), id: systemRuntime.id() })
    expect(await backend.exists("key")).toBe(true)
    await backend.close()
  })

  test("provisionDynamodb asks for encryption, and tags the table as it makes it", async () => {
    let creation = ""
    proxy.observe((request) => {
      if (actionOf(request) === "CreateTable") creation = request.toString()
    })
    await provision("encrypted", { tags: { team: "a" } })
    expect(creation).toContain('"SSESpecification":{"Enabled":true}')
    expect(creation).toContain('"Tags":[{"Key":"team","Value":"a"}]')
  })

  test("provisionDynamodb verifies and changes nothing when it is run again", async () => {
    await provision("again")
    called = []
    const report = await provision("again")
    expect(Object.values(outcomes(report))).not.toContain("created")
    expect(outcomes(report)).toMatchObject({ table: "verified", "TTL on `ttl`": "verified" })
    expect(called.filter((action) => !action.startsWith("Describe"))).toEqual([])
  })

  test("provisionDynamodb finishes a table that was left without TTL, and reports what it may not change", async () => {
    const table = await tables.create({
      BillingMode: "PROVISIONED",
      ProvisionedThroughput: { ReadCapacityUnits: 1, WriteCapacityUnits: 1 },
    })
    const report = await provision(table)
    expect(outcomes(report)).toMatchObject({
      table: "verified",
      "on-demand billing": "differs",
      "deletion protection on": "differs",
      "TTL on `ttl`": "created",
    })
    expect(called).not.toContain("UpdateTable")
    expect(outcomes(await provision(table))["TTL on `ttl`"]).toBe("verified")
  })

  test("provisionDynamodb leaves deletion protection off where asked to", async () => {
    expect(outcomes(await provision("free", { deletionProtection: false }))).toMatchObject({
      "deletion protection off": "created",
    })
    expect(outcomes(await provision("free"))).toMatchObject({ "deletion protection on": "differs" })
    await tables.drop("free")
  })

  test("provisionDynamodb reports TTL on another attribute", async () => {
    const table = await tables.create()
    const TimeToLiveSpecification = { AttributeName: "expires", Enabled: true }
    await tables.client.send(new UpdateTimeToLiveCommand({ TableName: table, TimeToLiveSpecification }))
    const { steps } = await provision(table)
    expect(steps.find(({ name }) => name.startsWith("TTL"))).toMatchObject({
      outcome: "differs",
      detail: expect.stringContaining("`expires`"),
    })
  })

  test("provisionDynamodb reports TTL that is being turned off", async () => {
    const table = await tables.create()
    answer(
      "DescribeTimeToLive",
      awsReply({ TimeToLiveDescription: { TimeToLiveStatus: "DISABLING", AttributeName: "ttl" } }),
    )
    expect(outcomes(await provision(table))["TTL on `ttl`"]).toBe("differs")
  })

  test("provisionDynamodb refuses a table with other keys", async () => {
    const table = await tables.create({
      AttributeDefinitions: [{ AttributeName: "id", AttributeType: "N" }],
      KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
    })
    await expect(provision(table)).rejects.toMatchObject({
      code: "BINDING_INVALID",
      message: expect.stringMatching(/id HASH N.*pk HASH S, sk RANGE S/),
    })
  })

  test("provisionDynamodb refuses a name that no table can have", async () => {
    await expect(provision("no name")).rejects.toMatchObject({ code: "BINDING_INVALID" })
  })

  test("provisionDynamodb turns on recovery once the backups of a new table are ready", async () => {
    const table = await tables.create()
    answer("DescribeContinuousBackups", awsReply(recovery("DISABLED")))
    answer("UpdateContinuousBackups", awsError("ContinuousBackupsUnavailableException"), 2)
    answer("UpdateContinuousBackups", awsReply(recovery("ENABLED")))
    expect(outcomes(await provision(table))["point-in-time recovery"]).toBe("created")
    expect(called.filter((action) => action === "UpdateContinuousBackups")).toHaveLength(3)

    answer("DescribeContinuousBackups", awsReply(recovery("ENABLED")))
    expect(outcomes(await provision(table))["point-in-time recovery"]).toBe("verified")
  })

  test("provisionDynamodb makes a table with warm throughput, and raises that of one that has less, never lowering it", async () => {
    const sent: string[] = []
    proxy.observe((request) => {
      const body = /"WarmThroughput":\{[^}]*\}/.exec(request.toString())?.[0]
      if (body !== undefined) sent.push(`${actionOf(request)} ${body}`)
    })
    const warmThroughput = { readUnitsPerSecond: 20_000, writeUnitsPerSecond: 8_000 }
    const units = (reads: number, writes: number) => ({
      ReadUnitsPerSecond: reads,
      WriteUnitsPerSecond: writes,
    })
    const text = (reads: number, writes: number) => `"WarmThroughput":${JSON.stringify(units(reads, writes))}`
    await provision("warm", { warmThroughput })
    expect(sent.shift()).toBe(`CreateTable ${text(20_000, 8_000)}`)
    sent.length = 0

    const step = "warm throughput of 20000 reads and 8000 writes a second"
    const found = (reads: number, writes: number) =>
      answer("DescribeTable", awsReply({ Table: { ...TABLE, WarmThroughput: units(reads, writes) } }), 2)
    found(12_000, 10_000)
    answer("UpdateTable", awsReply({}))
    expect(outcomes(await provision("warm", { warmThroughput }))[step]).toBe("created")
    expect(sent).toEqual([`UpdateTable ${text(20_000, 10_000)}`])

    found(20_000, 8_000)
    expect(outcomes(await provision("warm", { warmThroughput }))[step]).toBe("verified")
    expect(sent).toHaveLength(1)
    await expect(
      provision("warm", { warmThroughput: { readUnitsPerSecond: 11_999, writeUnitsPerSecond: 8_000 } }),
    ).rejects.toMatchObject({ code: "INVALID_OPTION" })
  })

  test("provisionDynamodb reports a global table whose conditions hold within one region alone", async () => {
    await provision("global")
    const found = (MultiRegionConsistency: string) =>
      answer(
        "DescribeTable",
        awsReply({
          Table: {
            ...TABLE,
            Replicas: [{ RegionName: "eu-west-1" }],
            MultiRegionConsistency,
          },
        }),
        2,
      )
    found("EVENTUAL")
    const { steps } = await provision("global")
    expect(steps.find(({ name }) => name === "conditions hold across regions")).toMatchObject({
      outcome: "differs",
      detail: expect.stringMatching(/eu-west-1.*two regions can hold one lock/),
    })

    called = []
    found("STRONG")
    expect(outcomes(await provision("global"))).toMatchObject({
      "conditions hold across regions": "verified",
      "TTL on `ttl`": "differs",
    })
    expect(called).not.toContain("UpdateTimeToLive")
  })

  test("provisionDynamodb waits out a limit on changes of tables", async () => {
    answer("CreateTable", awsError("LimitExceededException"), 2)
    expect(outcomes(await provision("limited")).table).toBe("created")
  })

  test("provisionDynamodb sets tags, where the service knows of them", async () => {
    const table = await tables.create()
    answer("TagResource", awsReply({}))
    expect(outcomes(await provision(table, { tags: { team: "a" } })).tags).toBe("set")
  })

  test("two runs of provisionDynamodb at once make one table", async () => {
    for (let round = 0; round < 5; round++) {
      const reports = await Promise.all([provision(`raced-${round}`), provision(`raced-${round}`)])
      expect(reports.map((report) => outcomes(report).table).sort()).toEqual(["created", "verified"])
    }
  })

  test("provisionDynamodb names the call that it was not allowed to make", async () => {
    const table = await tables.create()
    answer("UpdateTimeToLive", awsError("AccessDeniedException"))
    await expect(provision(table)).rejects.toMatchObject({
      code: "ACCESS_DENIED",
      message: expect.stringContaining("dynamodb:UpdateTimeToLive"),
    })
  })

  test("provisionDynamodb gives up on a table that does not get ready, at its deadline", async () => {
    const table = await tables.create()
    answer("DescribeTable", awsReply({ Table: { TableStatus: "CREATING" } }), 1_000)
    await expect(provision(table, { timeoutMs: 5_000, runtime: skipping() })).rejects.toMatchObject({
      code: "TIMEOUT",
    })
    expect(called.length).toBeGreaterThan(5)
    expect(called.length).toBeLessThan(15)
  })

  test("provisionDynamodb makes no call that its policy leaves out", async () => {
    answer("DescribeContinuousBackups", awsReply(recovery("DISABLED")))
    answer("UpdateContinuousBackups", awsReply(recovery("ENABLED")))
    await provision("policy", { tags: { team: "a" } })
    const WarmThroughput = { ReadUnitsPerSecond: 12_000, WriteUnitsPerSecond: 4_000 }
    answer("DescribeTable", awsReply({ Table: { ...TABLE, WarmThroughput } }), 2)
    answer("UpdateTable", awsReply({}))
    const warmThroughput = { readUnitsPerSecond: 12_000, writeUnitsPerSecond: 5_000 }
    await provision("policy", { warmThroughput })
    expect(new Set(called.map((action) => `dynamodb:${action}`))).toEqual(
      new Set(DYNAMODB_PROVISIONING_ACTIONS),
    )
  })
})

/** A table as `DescribeTable` describes it. */
const TABLE = {
  TableStatus: "ACTIVE",
  KeySchema: [
    { AttributeName: "pk", KeyType: "HASH" },
    { AttributeName: "sk", KeyType: "RANGE" },
  ],
  AttributeDefinitions: [
    { AttributeName: "pk", AttributeType: "S" },
    { AttributeName: "sk", AttributeType: "S" },
  ],
}

/** Longer than every wait between requests, and shorter than the limit of every request, ms. */
const BETWEEN_MS = 1_000

/** Does not wait between requests. */
const impatient = {
  ...systemRuntime,
  setTimer: (callback: () => void, delayMs: number) =>
    systemRuntime.setTimer(callback, delayMs < BETWEEN_MS ? 0 : delayMs),
}

/** Does not wait between requests, but its clock moves on as if it had. */
function skipping() {
  let skippedMs = 0
  return {
    ...systemRuntime,
    monotonic: () => skippedMs,
    setTimer(callback: () => void, delayMs: number) {
      if (delayMs >= BETWEEN_MS) return systemRuntime.setTimer(callback, delayMs)
      skippedMs += delayMs
      return systemRuntime.setTimer(callback, 0)
    },
  }
}

function outcomes({ steps }: ProvisioningReport): Record<string, string> {
  return Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]))
}

function recovery(PointInTimeRecoveryStatus: string) {
  return {
    ContinuousBackupsDescription: {
      ContinuousBackupsStatus: "ENABLED",
      PointInTimeRecoveryDescription: { PointInTimeRecoveryStatus },
    },
  }
}
