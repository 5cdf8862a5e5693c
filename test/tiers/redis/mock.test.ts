import { randomUUID } from "node:crypto"
import RedisMock from "ioredis-mock"
import { afterAll, beforeAll, expect, test, vi } from "vitest"
import { redis } from "../../../tiers/redis/backend.ts"
import { reportServer } from "../../servers/report.ts"
import { describeConformance } from "../../support/conformance/run.ts"

reportServer({ backend: "redis", server: "ioredis-mock", note: "its Lua is fengari" })

/**
 * The mock's `TIME` takes its seconds from the wall clock, rounded, and its microseconds from `process.hrtime`, which has
 * nothing to do with it: once a second, at its own moment, it goes back by a second. This is a clock that goes on.
 */
beforeAll(() => {
  let calls = 0
  vi.spyOn(process, "hrtime").mockImplementation(() => {
    const millisecond = (Date.now() + 500) % 1_000
    return [0, millisecond * 1_000_000 + (++calls % 1_000) * 1_000]
  })
})
afterAll(() => vi.restoreAllMocks())

const NO_GETRANGE = "GETRANGE of the mock fails for a key that is not there"

describeConformance("redis on ioredis-mock", {
  departures: {
    "delivery: the row carries the id of the write that left it": NO_GETRANGE,
    "delivery: a probe gives the version that a read gives, and leaves out keys without a row": NO_GETRANGE,
  },
  createStore(runtime) {
    const prefix = `test:${randomUUID()}:`
    const clients: InstanceType<typeof RedisMock>[] = []
    return {
      connect() {
        const client = new RedisMock()
        clients.push(client)
        return redis(client, { prefix, runtime })
      },
      dispose() {
        for (const client of clients) client.disconnect()
      },
    }
  },
})

test("a client that was passed in stays open", async () => {
  const client = new RedisMock()
  const backend = redis(client)
  await backend.open()
  await backend.close()
  expect(await client.ping()).toBe("PONG")
  client.disconnect()
})
