import { beforeEach, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { primaryKey } from "../../../tiers/dynamodb/row.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { actionOf, awsReply, localSettings } from "../../servers/dynamodb.ts"
import { requireServer } from "../../servers/require-server.ts"
import { startProxiedDynamodb } from "../../support/dynamodb-fixture.ts"
import { codeOf } from "../../support/failures.ts"
import { expectEndAtLimit, LIMITED, limitedCalls } from "../../support/request-limit.ts"
import { type TestRuntime, testRuntime, until } from "../../support/runtime.ts"

const text = (value: string) => new TextEncoder().encode(value)
const { id: newId } = systemRuntime

await requireServer("dynamodb", startProxiedDynamodb, ({ proxy, table, storeRow }) => {
  let runtime: TestRuntime
  let backend: Backend

  beforeEach(async () => {
    proxy.clear()
    runtime = testRuntime()
    backend = dynamodb(localSettings(proxy.port), { table, runtime, requestTimeoutMs: 3_000 })
    await backend.open()
    return () => backend.close()
  })

  const prefixed = (count: number) => {
    const prefix = newId()
    return Array.from({ length: count }, (_, index) => `${prefix}:${index}`)
  }

  describe("a probe", () => {
    test("of 100 keys is one request without values, and gives the rows, live or expired", async () => {
      const keys = prefixed(100)
      const [live = "", expired = "", removed = "", corrupt = ""] = keys
      const ids = [newId(), newId(), newId()]
      await backend.put(live, { value: text("v"), id: ids[0] ?? "" })
      await backend.put(expired, { value: text("v"), id: ids[1] ?? "", expiresAt: runtime.now() - 1 })
      const { version = "" } = await backend.put(removed, { value: text("v"), id: newId() })
      await backend.delete(removed, { id: ids[2] ?? "", condition: { version } })
      await storeRow(corrupt, { value: { B: text("v") }, version: { N: "1" } })
      const sent: Buffer[] = []
      proxy.observe((request) => sent.push(request))
      const heads = await backend.probe(keys)
      expect(sent.map(actionOf)).toEqual(["BatchGetItem"])
      expect(sent[0]?.toString()).not.toContain("value")
      expect([...heads.keys()].sort()).toEqual([live, expired, removed, corrupt].sort())
      for (const [key, id, isLive] of [
        [live, ids[0], true],
        [expired, ids[1], false],
        [removed, ids[2], false],
      ] as const) {
        expect(heads.get(key)).toMatchObject({ id, version: id, live: isLive })
        expect(heads.get(key)).not.toHaveProperty("recurs")
      }
      expect(heads.get(corrupt)).toMatchObject({ code: "CORRUPT_ENTRY", key: corrupt, operation: "probe" })
    })

    test("gives the version that a read gives of a row of Alien's, which recurs, with one request more", async () => {
      const [ours = "", theirs = "", expired = "", corrupt = "", absent = ""] = prefixed(5)
      await backend.put(ours, { value: text("v"), id: newId() })
      await storeRow(theirs, { value: { B: text("theirs") }, ttl: { N: "4000000000" } })
      await storeRow(expired, { value: { B: text("theirs") }, ttl: { N: "1" } })
      await storeRow(corrupt, { value: { S: "text" } })
      const entry = await backend.get(theirs)
      const before = proxy.requests
      const heads = await backend.probe([ours, theirs, expired, corrupt, absent])
      expect(proxy.requests - before).toBe(2)
      expect(heads.size).toBe(4)
      expect(heads.get(theirs)).toEqual({ version: entry?.version, recurs: true, live: true })
      expect(heads.get(expired)).toMatchObject({ recurs: true, live: false })
      expect(heads.get(corrupt)).toMatchObject({ code: "CORRUPT_ENTRY", key: corrupt })
    })

    test("of keys that the service leaves unprocessed gives THROTTLED for them", async () => {
      const [left = "", there = ""] = prefixed(2)
      const row = { ...primaryKey(there), version: { S: "v" } }
      const reply = {
        Responses: { [table]: [row] },
        UnprocessedKeys: { [table]: { Keys: [primaryKey(left)], ConsistentRead: true } },
      }
      proxy.inject({ kind: "respond", response: awsReply(reply) })
      const heads = await backend.probe([left, there])
      expect(heads.get(there)).toEqual({ id: "v", version: "v", live: true })
      expect(heads.get(left)).toMatchObject({ code: "THROTTLED", key: left })
    })

    test("of no keys sends nothing", async () => {
      const before = proxy.requests
      expect(await backend.probe([])).toEqual(new Map())
      expect(proxy.requests).toBe(before)
    })
  })

  describe("the limit of a request", () => {
    const request = LIMITED
    test.each(limitedCalls(() => ({ backend, key: "key" })))(
      "ends %s, whatever the limit of the backend",
      (name, call) => expectEndAtLimit(proxy, runtime, name, call),
    )

    test("ends a delete under a condition", () =>
      expectEndAtLimit(proxy, runtime, "delete", () =>
        backend.delete("key", { id: newId(), condition: { version: "v" } }, request),
      ))

    test("covers both requests of a compare-and-set of Alien's row", async () => {
      const [key = ""] = prefixed(1)
      await storeRow(key, { value: { B: text("theirs") } })
      const condition = { version: (await backend.get(key))?.version ?? "" }
      const swap = () => backend.put(key, { value: text("v"), id: newId(), condition }, request)
      const reads = proxy.inject({ kind: "late", when: (sent) => actionOf(sent) === "GetItem" })
      const code = codeOf(swap)
      await until(() => reads.hits === 1)
      await runtime.advance(500)
      expect(await code, "a read first").toBe("TIMEOUT")

      const writes = proxy.inject({ kind: "black-hole", when: (sent) => actionOf(sent) === "PutItem" })
      const unsettled = codeOf(swap)
      await until(() => writes.hits === 1)
      await runtime.advance(500)
      expect(await unsettled).toBe("OUTCOME_UNKNOWN")
    })
  })
})
