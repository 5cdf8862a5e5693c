import { DynamoDBClient } from "@aws-sdk/client-dynamodb"
import { beforeEach, describe, expect, test } from "vitest"
import type { Condition } from "../../../tiers/backend.ts"
import { dynamodb } from "../../../tiers/dynamodb/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { actionOf, awsError, awsReply, localSettings } from "../../servers/dynamodb.ts"
import { requireServer } from "../../servers/require-server.ts"
import { startProxiedDynamodb } from "../../support/dynamodb-fixture.ts"
import { codeOf } from "../../support/failures.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { testRuntime, until } from "../../support/runtime.ts"

const bytes = Uint8Array.of(1, 2, 3)
const { id: newId } = systemRuntime

const LIMIT_MS = 700

await requireServer("dynamodb", startProxiedDynamodb, ({ proxy, table, backend }) => {
  beforeEach(() => proxy.clear())

  const writes = (request: Buffer) => /PutItem|DeleteItem|BatchWriteItem/.test(actionOf(request))

  let keys = 0
  /** A key of its own for each test, with an entry under it. */
  async function storedKey(): Promise<{ key: string; version: string }> {
    const key = `key:${++keys}`
    const { version = "" } = await backend.put(key, { value: Uint8Array.of(0), id: newId() })
    return { key, version }
  }
  const put = (key: string, id: string, condition?: Condition) =>
    backend.put(key, { value: bytes, id, ...(condition && { condition }) })

  describe("a write whose reply is lost", () => {
    const cases = {
      put: async () => {
        const { key } = await storedKey()
        return { key, write: (id: string) => put(key, id) }
      },
      create: async () => {
        const key = `key:${++keys}`
        return { key, write: (id: string) => put(key, id, { absent: true }) }
      },
      "compare-and-set": async () => {
        const { key, version } = await storedKey()
        return { key, write: (id: string) => put(key, id, { version }) }
      },
      "delete if version": async () => {
        const { key, version } = await storedKey()
        return { key, write: (id: string) => backend.delete(key, { id, condition: { version } }) }
      },
      delete: async () => {
        const { key } = await storedKey()
        return { key, write: (id: string) => backend.delete(key, { id }) }
      },
    }

    test.each(Object.entries(cases))("%s: is in doubt, and settled by the row", async (name, prepare) => {
      const { key, write } = await prepare()
      const id = newId()
      const lost = proxy.inject({ kind: "drop-reply", when: writes })
      expect(await codeOf(() => write(id))).toBe("OUTCOME_UNKNOWN")
      expect(lost.hits).toBe(1)
      expect(await wasWrittenBy(backend, key, id)).toBe(name !== "delete")
      expect(await backend.exists(key)).toBe(!name.startsWith("delete"))
      expect(await write(id), "sent again").toMatchObject({ applied: true })
    })

    test.each(Object.entries(cases))("%s: is in doubt also if it never arrived", async (_, prepare) => {
      const { key, write } = await prepare()
      const before = await backend.get(key)
      const id = newId()
      proxy.inject({ kind: "reset", when: writes })
      expect(await codeOf(() => write(id))).toBe("OUTCOME_UNKNOWN")
      expect(await wasWrittenBy(backend, key, id)).toBe(false)
      expect(await backend.get(key)).toEqual(before)
      expect(await write(id), "sent again").toMatchObject({ applied: true })
    })

    test.each(Object.entries(cases))(
      "%s: is reported applied by what wraps the backend",
      async (name, prepare) => {
        const { key, write } = await prepare()
        const original = backend
        backend = resilient(original)
        try {
          proxy.inject({ kind: "drop-reply", when: writes })
          expect(await write(newId())).toMatchObject({ applied: true })
          expect(await original.exists(key)).toBe(!name.startsWith("delete"))
        } finally {
          backend = original
        }
      },
    )

    test("of a create that lost the race is not taken for applied", async () => {
      const { key } = await storedKey()
      const id = newId()
      proxy.inject({ kind: "drop-reply", when: writes })
      expect(await codeOf(() => put(key, id, { absent: true }))).toBe("OUTCOME_UNKNOWN")
      expect(await wasWrittenBy(backend, key, id)).toBe(false)
      expect(await put(key, id, { absent: true })).toEqual({ applied: false })
    })

    test("leaves every key of a batch in doubt", async () => {
      const batch = new Map(["a", "b", "c"].map((key) => [`batch:${key}`, { value: bytes, id: newId() }]))
      proxy.inject({ kind: "drop-reply", when: writes })
      const results = await backend.putMany(batch)
      expect([...results.keys()]).toEqual([...batch.keys()])
      for (const [key, { id }] of batch) {
        expect(results.get(key)).toMatchObject({ code: "OUTCOME_UNKNOWN", key })
        expect(await wasWrittenBy(backend, key, id)).toBe(true)
      }
      proxy.inject({ kind: "drop-reply", when: writes })
      for (const [key, result] of await backend.deleteMany(batch)) {
        expect(result).toMatchObject({ code: "OUTCOME_UNKNOWN", key })
        expect(await backend.exists(key)).toBe(false)
      }
    })

    test("and that lands late is in doubt first, and found afterwards", async () => {
      const runtime = testRuntime()
      const hasty = dynamodb(localSettings(proxy.port), { table, runtime, requestTimeoutMs: LIMIT_MS })
      await hasty.open()
      const { key } = await storedKey()
      const id = newId()
      const late = proxy.inject({ kind: "late", when: writes })
      const code = codeOf(() => hasty.put(key, { value: bytes, id }))
      await until(() => late.hits === 1)
      await runtime.advance(LIMIT_MS)
      expect(await code).toBe("OUTCOME_UNKNOWN")
      expect(await wasWrittenBy(backend, key, id)).toBe(false)
      await late.release()
      expect(await wasWrittenBy(backend, key, id)).toBe(true)
      await hasty.close()
    })

    test("is sent once, whatever the retries of a client that was passed in", async () => {
      const client = new DynamoDBClient({ ...localSettings(proxy.port), maxAttempts: 5 })
      const over = dynamodb(client, { table })
      await over.open()
      const { key } = await storedKey()
      const before = proxy.requests
      proxy.inject({ kind: "drop-reply" })
      expect(await codeOf(() => over.put(key, { value: bytes, id: newId() }))).toBe("OUTCOME_UNKNOWN")
      proxy.inject({ kind: "respond", response: awsError("ThrottlingException") })
      expect(await codeOf(() => over.get(key))).toBe("THROTTLED")
      expect(proxy.requests - before).toBe(2)
      await over.close()
      client.destroy()
    })
  })

  test("keys that a batch leaves unprocessed are throttled, not absent", async () => {
    const key = (name: string) => ({ pk: { S: "bucket_0" }, sk: { S: name } })
    const row = { ...key("there"), value: { B: "AQID" }, version: { S: "v" } }
    const reply = {
      Responses: { [table]: [row] },
      UnprocessedKeys: { [table]: { Keys: [key("left")], ConsistentRead: true } },
    }
    proxy.inject({ kind: "respond", response: awsReply(reply) })
    const found = await backend.getMany(["left", "there", "absent"])
    expect([...found.keys()].sort()).toEqual(["left", "there"])
    expect(found.get("there")).toEqual({ value: bytes, version: "v" })
    expect(found.get("left")).toMatchObject({ code: "THROTTLED", key: "left", retryable: true })

    const batch = new Map(["left", "done"].map((name) => [name, { value: bytes, id: newId() }]))
    const put = { UnprocessedItems: { [table]: [{ PutRequest: { Item: key("left") } }] } }
    proxy.inject({ kind: "respond", response: awsReply(put) })
    const written = await backend.putMany(batch)
    expect(written.get("left")).toMatchObject({ code: "THROTTLED", key: "left" })
    expect(written.get("done")).toEqual({ applied: true, version: batch.get("done")?.id })

    const removed = { UnprocessedItems: { [table]: [{ DeleteRequest: { Key: key("left") } }] } }
    proxy.inject({ kind: "respond", response: awsReply(removed) })
    const deleted = await backend.deleteMany(batch)
    expect(deleted.get("left")).toMatchObject({ code: "THROTTLED", key: "left" })
    expect(deleted.get("done")).toEqual({ applied: true })
  })
})
