import { Firestore, Timestamp } from "@google-cloud/firestore"
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { firestore } from "../../../tiers/firestore/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { startFirestoreEmulator } from "../../servers/firestore.ts"
import { requireServer } from "../../servers/require-server.ts"

const projectId = "demo-tiered-kv"
// Otherwise the SDK looks for a metadata service outside this machine before it uses an emulator.
vi.stubEnv("METADATA_SERVER_DETECTION", "none")
/** A cold emulator on a busy machine takes seconds for its first answers. */
const PATIENT_MS = 20_000
const collection = `rows-${systemRuntime.id()}`

await requireServer("firestore", startFirestoreEmulator, (server) => {
  // The SDK would use its address in place of the endpoints that the tests name.
  vi.stubEnv("FIRESTORE_EMULATOR_HOST", "")
  const client = new Firestore({ projectId, host: `127.0.0.1:${server.port}`, ssl: false })
  const options = { collection, requestTimeoutMs: PATIENT_MS }
  const backend = firestore({ projectId, endpoint: server.url }, options)
  const rows = client.collection(collection)
  let key: string
  beforeAll(() => backend.open())
  beforeEach(() => {
    key = `key:${systemRuntime.id()}`
  })
  afterAll(async () => {
    await backend.close()
    await client.terminate()
  })

  const put = (expiresAt?: number) =>
    backend.put(key, {
      value: text("value"),
      id: systemRuntime.id(),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    })

  describe("a row written here", () => {
    test("lies as other clients expect it", async () => {
      const id = systemRuntime.id()
      const before = systemRuntime.now()
      const expiresAt = before + 3_600_123
      await backend.put(key, { value: Uint8Array.of(0, 255, 62), id, expiresAt })
      const data = (await rows.doc(key).get()).data() ?? {}
      expect(Object.keys(data).sort()).toEqual(["created_at", "expires_at", "value", "version"])
      expect(data.value).toBe("AP8+")
      expect(data.version).toBe(id)
      expect(data.expires_at).toEqual(Timestamp.fromMillis(expiresAt))
      expect(data.created_at.toMillis()).toBeGreaterThanOrEqual(before)
    })

    test("has no expiry field without an expiry, and loses one that it had", async () => {
      await put(systemRuntime.now() + 60_000)
      const { version = "" } = await put(systemRuntime.now() + 90_000)
      await backend.put(key, { value: text("value"), id: systemRuntime.id(), condition: { version } })
      expect((await rows.doc(key).get()).get("expires_at")).toBeUndefined()
    })

    test("keeps an expiry after the year 9999 as the last one that Firestore can hold", async () => {
      const { version } = await put(Number.MAX_SAFE_INTEGER)
      const entry = await backend.get(key)
      expect(entry?.version).toBe(version)
      expect(entry?.expiresAt).toBe(Date.UTC(10_000, 0) - 1)
    })

    test.each([".", "..", "__x__", "____", "__.__"])(
      "is found under the reserved id %s",
      async (reserved) => {
        await backend.put(reserved, { value: text(reserved), id: systemRuntime.id() })
        expect((await rows.doc(`~${reserved}`).get()).exists).toBe(true)
        expect((await backend.getMany([reserved])).get(reserved)).toMatchObject({ value: text(reserved) })
        const { entries } = await backend.scan(reserved, { limit: 10 })
        expect(entries.map((entry) => entry.key)).toContain(reserved)
      },
    )
  })

  describe("a row of another client", () => {
    const inAnHour = () => systemRuntime.now() + 3_600_000

    test("without a version is read, replaced and removed by its update time", async () => {
      const expiresAt = inAnHour()
      const row = {
        value: "dGhlaXJz",
        expires_at: Timestamp.fromMillis(expiresAt),
        created_at: Timestamp.now(),
      }
      await rows.doc(key).set(row)
      const entry = await backend.get(key)
      expect(entry).toMatchObject({ value: text("theirs"), expiresAt })
      const condition = { version: entry?.version ?? "" }
      const write = { value: text("ours"), id: systemRuntime.id() }
      expect((await backend.put(key, { ...write, condition })).applied).toBe(true)
      expect((await backend.put(key, { ...write, id: systemRuntime.id(), condition })).applied).toBe(false)

      await rows.doc(key).set(row)
      const { version = "" } = (await backend.get(key)) ?? {}
      expect(version).not.toBe(condition.version)
      const removal = { id: systemRuntime.id(), condition: { version } }
      expect((await backend.delete(key, removal)).applied).toBe(true)
      expect(await backend.get(key)).toBeUndefined()
    })

    test("with its value as bytes is read", async () => {
      await rows.doc(key).set({ value: Buffer.from([1, 2, 254]) })
      expect(await backend.get(key)).toMatchObject({ value: Uint8Array.of(1, 2, 254) })
    })

    test("written over ours has another version, though it keeps our field", async () => {
      const { version = "" } = await put()
      await rows.doc(key).update({ value: "bmV3ZXI=" })
      const entry = await backend.get(key)
      expect(entry?.value).toEqual(text("newer"))
      expect(backend.compareVersions?.(version, entry?.version ?? "")).toBeLessThan(0)
      const write = { value: text("stale"), id: systemRuntime.id(), condition: { version } }
      expect((await backend.put(key, write)).applied).toBe(false)
    })

    test("with an expiry finer than a millisecond is never served past it", async () => {
      const seconds = Math.floor(inAnHour() / 1_000)
      await rows.doc(key).set({ value: "", expires_at: new Timestamp(seconds, 123_999_000) })
      expect((await backend.get(key))?.expiresAt).toBe(seconds * 1_000 + 123)
    })

    test("with null for an expiry has none", async () => {
      await rows.doc(key).set({ value: "", expires_at: null })
      expect(await backend.get(key)).not.toHaveProperty("expiresAt")
    })

    test("that is no key of a store is passed over by scans", async () => {
      await rows.doc(`${key} é`).set({ any: "thing" })
      await rows.doc(`~${key}`).set({ any: "thing" })
      await put()
      expect((await backend.scan(key, { limit: 10 })).entries.map((entry) => entry.key)).toEqual([key])
    })
  })

  describe("a document of another shape is CORRUPT_ENTRY", () => {
    const shapes: Record<string, Record<string, unknown>> = {
      "no value": { version: "x" },
      "a number for a value": { value: 7 },
      "text that is not base64": { value: "not base64!" },
      "base64 cut short": { value: "AAAAA" },
      "text for an expiry": { value: "", expires_at: "tomorrow" },
      "a number for an expiry": { value: "", expires_at: 1_800_000_000 },
    }

    test.each(Object.entries(shapes))("%s", async (_, shape) => {
      await rows.doc(key).set(shape)
      const corrupt = { code: "CORRUPT_ENTRY", key }
      await expect(backend.get(key)).rejects.toMatchObject(corrupt)
      await expect(backend.scan(key, { limit: 1 })).rejects.toMatchObject(corrupt)
      const other = `${key}:other`
      await backend.put(other, { value: text("fine"), id: systemRuntime.id() })
      const found = await backend.getMany([key, other])
      expect(found.get(key)).toBeInstanceOf(KvError)
      expect(found.get(key)).toMatchObject(corrupt)
      expect(found.get(other)).toMatchObject({ value: text("fine") })
      expect((await backend.put(key, { value: text("new"), id: systemRuntime.id() })).applied).toBe(true)
    })
  })

  describe.each([
    ["settings", () => firestore({ projectId, endpoint: server.url }, options)],
    ["a client", () => firestore(client, options)],
  ])("the time of a row, over %s,", (_, make) => {
    const other = firestore({ projectId, endpoint: server.url }, options)
    let own: Backend
    beforeAll(async () => {
      own = make()
      await Promise.all([own.open(), other.open()])
    })
    afterAll(async () => {
      await Promise.all([own.close(), other.close()])
    })
    const write = () => ({ value: text("value"), id: systemRuntime.id() })
    const headOf = async () => {
      const head = (await own.probe([key])).get(key)
      if (head === undefined || head instanceof KvError) throw head ?? new Error("no row")
      return head
    }

    test("is not after what is known of the clock, if another process wrote it before", async () => {
      await other.put(key, write())
      await own.put(`${key}:own`, write())
      const known = own.serviceTime?.(key)
      const { writtenAt } = await headOf()
      expect(writtenAt?.clock).toBe(known?.clock)
      expect(writtenAt?.latest).toBeLessThanOrEqual(known?.earliest ?? 0)
    })

    test("is after what is certain of the clock, if another process wrote it later", async () => {
      await own.put(`${key}:own`, write())
      const known = own.serviceTime?.(key)
      await other.put(key, write())
      const { writtenAt } = await headOf()
      expect(writtenAt?.clock).toBe(known?.clock)
      expect(writtenAt?.latest).toBeGreaterThan(known?.earliest ?? Number.POSITIVE_INFINITY)
      expect(writtenAt?.earliest, "within the error of the clock").toBeLessThan(known?.latest ?? 0)
    })

    test("comes with the identity and the version of the write, and whether the row is live", async () => {
      const first = write()
      const { version } = await own.put(key, { ...first, expiresAt: systemRuntime.now() - 1 })
      expect(await headOf()).toMatchObject({ id: first.id, version, live: false })
      await rows.doc(key).set({ value: "dGhlaXJz", version: "of another program" })
      const theirs = await headOf()
      expect(theirs).toMatchObject({ version: (await own.get(key))?.version, live: true })
      expect(theirs).not.toHaveProperty("id")
    })

    test("of a document that is no row is an error of its key only", async () => {
      await rows.doc(key).set({ value: "", expires_at: "tomorrow" })
      await own.put(`${key}:other`, write())
      const heads = await own.probe([key, `${key}:other`, `${key}:absent`])
      expect(heads.get(key)).toMatchObject({ code: "CORRUPT_ENTRY", key })
      expect(heads.get(`${key}:other`)).toMatchObject({ live: true })
      expect(heads.size).toBe(2)
    })
  })

  test("values of a full batch are split into commits that the service takes", async () => {
    const value = new Uint8Array(24_576).fill(7)
    const keys = Array.from({ length: backend.traits.maxWriteBatch }, (_, index) => `${key}:${index}`)
    const results = await backend.putMany(
      new Map(keys.map((each) => [each, { value, id: systemRuntime.id() }])),
    )
    expect(results.size).toBe(keys.length)
    for (const result of results.values()) expect(result).toMatchObject({ applied: true })
  })

  test("a scan gets past many expired rows in few requests", async () => {
    const gone = Array.from({ length: 400 }, (_, index) => `${key}:a${index}`)
    const expiresAt = systemRuntime.now() - 1
    await backend.putMany(
      new Map(gone.map((each) => [each, { value: text(""), id: systemRuntime.id(), expiresAt }])),
    )
    await backend.put(`${key}:b`, { value: text("live"), id: systemRuntime.id() })
    const { entries } = await backend.scan(`${key}:`, { limit: 1 })
    expect(entries.map((entry) => entry.key)).toEqual([`${key}:b`])
  })

  describe("connections", () => {
    const settings = { projectId, endpoint: server.url }

    test("are shared, and closed with the last backend on them", async () => {
      const [one, two] = [firestore(settings, options), firestore(settings, options)]
      await Promise.all([one.open(), two.open(), two.open()])
      await one.close()
      await one.close()
      expect(await two.get(key)).toBeUndefined()
      await two.close()
      await expect(two.get(key)).rejects.toMatchObject({ code: "CLOSED" })
      await two.open()
      expect(await two.get(key)).toBeUndefined()
      await two.close()
    })

    test("go where FIRESTORE_EMULATOR_HOST points, unless the settings name an endpoint", async () => {
      vi.stubEnv("FIRESTORE_EMULATOR_HOST", `127.0.0.1:${server.port}`)
      const pointed = firestore({ projectId }, options)
      await pointed.open()
      await put()
      expect(await pointed.exists(key)).toBe(true)
      await pointed.close()
      vi.stubEnv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
      const named = firestore(settings, options)
      await named.open()
      expect(await named.exists(key)).toBe(true)
      await named.close()
      vi.stubEnv("FIRESTORE_EMULATOR_HOST", "")
    })

    test("of a client that was passed in stay open", async () => {
      const passed: Backend = firestore(client, options)
      await passed.open()
      await passed.put(key, { value: text("value"), id: systemRuntime.id() })
      await passed.close()
      expect((await rows.doc(key).get()).exists).toBe(true)
    })

    test("to other databases of the emulator hold other rows", async () => {
      const other = firestore({ ...settings, databaseId: "other" }, options)
      await other.open()
      await put()
      expect(await other.get(key)).toBeUndefined()
      await other.close()
    })
  })
})

function text(content: string): Uint8Array {
  return new TextEncoder().encode(content)
}
