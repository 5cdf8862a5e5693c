import { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { beforeEach, describe, expect, test } from "vitest"
import type { Backend, RowHead, ServiceTime } from "../../../tiers/backend.ts"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { primaryKey } from "../../../tiers/dynamodb/row.ts"
import { KvError } from "../../../tiers/errors.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { localSettings } from "../../servers/dynamodb.ts"
import { httpResponse } from "../../servers/fault-proxy.ts"
import { requireServer } from "../../servers/require-server.ts"
import { startProxiedDynamodb } from "../../support/dynamodb-fixture.ts"
import { codeOf } from "../../support/failures.ts"
import { type TestRuntime, testRuntime } from "../../support/runtime.ts"

const value = new TextEncoder().encode("v")
const { id: newId } = systemRuntime

/** A time of the service that is far from every clock of this process, Unix ms. */
const SERVICE = Date.UTC(2031, 0, 1)
const HOUR = 3_600_000

await requireServer("dynamodb", startProxiedDynamodb, ({ proxy, table, rowOf }) => {
  let runtime: TestRuntime
  let backend: Backend
  let key: string

  beforeEach(async () => {
    proxy.clear()
    key = newId()
    runtime = testRuntime(SERVICE - 5 * HOUR)
    backend = dynamodb(localSettings(proxy.port), { table, runtime })
    await backend.open()
    return () => backend.close()
  })

  /** The next answer is this one, of this time of the service. */
  const answerAt = (time: number, body: object = {}) =>
    proxy.inject({
      kind: "respond",
      response: httpResponse(
        200,
        { "content-type": "application/x-amz-json-1.0", date: new Date(time).toUTCString() },
        JSON.stringify(body),
      ),
    })
  /** Lets the backend learn the time of the service. */
  const learn = async (time: number) => {
    answerAt(time)
    await backend.exists(key)
  }
  const stampOf = async (of = key) => {
    const row = await rowOf(of)
    if (row === undefined) throw new Error("there is no row")
    return row.wt
  }
  const headOf = async (of = key): Promise<RowHead> => {
    const head = (await backend.probe([of])).get(of)
    if (head === undefined || head instanceof KvError) throw new Error("there is no head")
    return head
  }
  const now = (): ServiceTime => {
    const time = backend.serviceTime?.(key)
    if (time === undefined) throw new Error("the time is not known")
    return time
  }
  const writes: Record<string, () => Promise<unknown>> = {
    put: () => backend.put(key, { value, id: newId() }),
    create: () => backend.put(key, { value, id: newId(), condition: { absent: true } }),
    putMany: async () => {
      const result = (await backend.putMany(new Map([[key, { value, id: newId() }]]))).get(key)
      if (result instanceof KvError) throw result
      return result
    },
  }

  describe("the time of the service", () => {
    test("is unknown before the first answer, and rows have no time", async () => {
      expect(backend.serviceTime?.(key)).toBeUndefined()
      await backend.put(key, { value, id: newId() })
      expect(await stampOf()).toBeUndefined()
      expect(await headOf()).not.toHaveProperty("writtenAt")
    })

    test("comes from every answer of the server, also over a client of the caller and with an error", async () => {
      const client = new DynamoDBClient(localSettings(proxy.port))
      for (const over of [backend, dynamodb(client, { table, runtime })]) {
        await over.open()
        expect(over.serviceTime?.(key)).toBeUndefined()
        const response = httpResponse(500, { date: new Date(SERVICE).toUTCString() }, "")
        proxy.inject({ kind: "respond", response })
        expect(await codeOf(() => over.get(key))).toBe("UNAVAILABLE")
        expect(over.serviceTime?.(key)).toEqual({
          clock: "dynamodb",
          earliest: SERVICE - 2_000,
          latest: SERVICE + 3_000,
        })
        await over.close()
      }
      client.destroy()
    })

    test("goes on with the monotonic clock, and is right again after a step of the wall clock", async () => {
      await learn(SERVICE)
      await runtime.advance(10_000)
      expect(now().earliest).toBeCloseTo(SERVICE + 8_000, -2)
      expect(now().latest).toBeCloseTo(SERVICE + 13_000, -2)
      for (const [step, stamp] of [
        [HOUR, undefined],
        [-2 * HOUR, { N: String(SERVICE + 10_500) }],
      ] as const) {
        await learn(SERVICE + 10_000)
        runtime.stepWallClock(step)
        expect(now().earliest).toBeLessThanOrEqual(SERVICE + 10_000)
        expect(now().latest).toBeGreaterThanOrEqual(SERVICE + 11_000)
        await backend.put(key, { value, id: newId() })
        expect(await stampOf(), "no stamp of a clock that is in doubt").toEqual(stamp)
        await learn(SERVICE + 10_000)
        await backend.put(key, { value, id: newId() })
        expect(Number((await stampOf())?.N)).toBeCloseTo(SERVICE + 10_500, -3)
      }
    })
  })

  describe("the time of a row", () => {
    test.each(Object.entries(writes))(
      "of %s is that of the service when the write was made",
      async (_, write) => {
        await learn(SERVICE)
        await write()
        expect(await stampOf()).toEqual({ N: String(SERVICE + 500) })
        expect((await headOf()).writtenAt).toEqual({
          clock: "dynamodb",
          earliest: SERVICE - 1_500,
          latest: SERVICE + 32_500,
        })
      },
    )

    test("of a tombstone is that of its delete", async () => {
      const { version = "" } = await backend.put(key, { value, id: newId() })
      await learn(SERVICE)
      await backend.delete(key, { id: newId(), condition: { version } })
      expect(await stampOf()).toEqual({ N: String(SERVICE + 500) })
    })

    test("that another program wrote without a number is left out", async () => {
      await learn(SERVICE)
      const row = { ...primaryKey(key), version: { S: "v" }, wt: { S: "soon" } }
      answerAt(SERVICE, { Responses: { [table]: [row] } })
      expect(await headOf()).toEqual({ id: "v", version: "v", live: true })
    })

    test("tells older from newer, and neither within the errors of the clocks", async () => {
      await learn(SERVICE)
      await backend.put(key, { value, id: newId() })
      const { writtenAt } = await headOf()
      if (writtenAt === undefined) throw new Error("the row has no time")
      for (const [seconds, isOlder, isNewer] of [
        [-60, false, true],
        [-4, false, false],
        [0, false, false],
        [34, false, false],
        [60, true, false],
      ] as const) {
        await learn(SERVICE + 100 * HOUR)
        await learn(SERVICE + seconds * 1_000)
        const began = now()
        expect(writtenAt.clock).toBe(began.clock)
        expect(writtenAt.latest <= began.earliest, `older than a write ${seconds} s later`).toBe(isOlder)
        expect(writtenAt.earliest > began.latest, `newer than a write ${seconds} s later`).toBe(isNewer)
      }
    })

    test.each(Object.entries(writes))(
      "of %s is too old if the write is acknowledged more than 30 s later: OUTCOME_UNKNOWN",
      async (_, write) => {
        await learn(SERVICE)
        answerAt(SERVICE + 28_000)
        expect(await codeOf(write)).toBe("answered")
        await learn(SERVICE)
        answerAt(SERVICE + 31_000)
        expect(await codeOf(write)).toBe("OUTCOME_UNKNOWN")
      },
    )
  })
})
