import { createServer as createHttp2Server } from "node:http2"
import { connect as connectTo, createServer } from "node:net"
import { Firestore } from "@google-cloud/firestore"
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import type { Backend, Write } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { firestore } from "../../../tiers/firestore/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"
import { type FaultProxy, faultProxy } from "../../servers/fault-proxy.ts"
import { startFirestoreEmulator } from "../../servers/firestore.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { codeOf } from "../../support/failures.ts"
import { wasWrittenBy } from "../../support/heads.ts"

const projectId = "demo-tiered-kv"
// Otherwise the SDK looks for a metadata service outside this machine before it uses an emulator.
vi.stubEnv("METADATA_SERVER_DETECTION", "none")
/** A cold emulator on a busy machine takes seconds for its first answers. */
const PATIENT_MS = 20_000
const collection = `faults-${systemRuntime.id()}`

await requireServer("firestore", startFirestoreEmulator, (server) => {
  // The SDK would use its address in place of the endpoints that the tests name.
  vi.stubEnv("FIRESTORE_EMULATOR_HOST", "")
  const direct = firestore({ projectId, endpoint: server.url }, { collection, requestTimeoutMs: PATIENT_MS })
  const opened: Backend[] = []
  let proxy: FaultProxy
  let backend: Backend
  let keys = 0
  const newKey = () => `key:${++keys}`

  const connect = async (endpoint: string, requestTimeoutMs = PATIENT_MS) => {
    const made = firestore({ projectId, endpoint }, { collection, requestTimeoutMs })
    opened.push(made)
    await made.open()
    return made
  }
  beforeAll(async () => {
    await direct.open()
    await direct.get("warm-up")
    proxy = await faultProxy(server.port, "http2")
    backend = await connect(`127.0.0.1:${proxy.port}`)
  })
  afterEach(() => proxy.clear())
  afterAll(async () => {
    await Promise.all([direct, ...opened].map((made) => made.close()))
    await proxy.close()
  })

  describe("a lost reply", () => {
    test("to a put leaves its outcome unknown, and the row shows it", async () => {
      const key = newKey()
      const write = newWrite("value")
      const lost = proxy.inject({ kind: "drop-reply" })
      expect(await codeOf(backend.put(key, write))).toBe("OUTCOME_UNKNOWN")
      expect(lost.hits).toBe(1)
      expect(await wasWrittenBy(backend, key, write.id)).toBe(true)
      expect(await wasWrittenBy(backend, key, systemRuntime.id())).toBe(false)
    })

    test("to a create: it meets its own row when sent again, and another create loses", async () => {
      const key = newKey()
      const write = newWrite("value", { absent: true })
      proxy.inject({ kind: "drop-reply" })
      expect(await codeOf(backend.put(key, write))).toBe("OUTCOME_UNKNOWN")
      const again = await backend.put(key, write)
      expect(again).toEqual({ applied: true, version: (await direct.get(key))?.version })
      expect(await backend.put(key, newWrite("other", { absent: true }))).toEqual({ applied: false })
    })

    test("to a compare-and-set: it meets its own row when sent again", async () => {
      const key = newKey()
      const { version = "" } = await direct.put(key, newWrite("one"))
      const write = newWrite("two", { version })
      proxy.inject({ kind: "drop-reply" })
      expect(await codeOf(backend.put(key, write))).toBe("OUTCOME_UNKNOWN")
      const again = await backend.put(key, write)
      expect(again).toEqual({ applied: true, version: (await direct.get(key))?.version })
    })

    test("to a take-over of an expired row: it meets its own row when sent again", async () => {
      const key = newKey()
      await direct.put(key, { ...newWrite("old"), expiresAt: systemRuntime.now() - 1 })
      const write = newWrite("new", { absent: true })
      // The first commit is refused, the row is read, and the reply to the second commit is lost.
      let commits = 0
      const second = (request: Buffer) => request.includes(write.id) && ++commits === 2
      proxy.inject({ kind: "drop-reply", when: second })
      expect(await codeOf(backend.put(key, write))).toBe("OUTCOME_UNKNOWN")
      expect((await backend.put(key, write)).applied).toBe(true)
    })

    test("to a conditional delete: the row that it leaves shows it, and it is applied when sent again", async () => {
      const key = newKey()
      const { version = "" } = await direct.put(key, newWrite("value"))
      const removal = { id: systemRuntime.id(), condition: { version } }
      proxy.inject({ kind: "drop-reply" })
      expect(await codeOf(backend.delete(key, removal))).toBe("OUTCOME_UNKNOWN")
      expect(await direct.get(key)).toBeUndefined()
      expect(await wasWrittenBy(backend, key, removal.id)).toBe(true)
      expect(await backend.delete(key, removal)).toEqual({ applied: true })
    })

    test("to a batch gives every key an error of its own", async () => {
      const writes = new Map([newKey(), newKey()].map((key) => [key, newWrite("value")]))
      proxy.inject({ kind: "drop-reply" })
      const results = [...(await backend.putMany(writes))]
      expect(results.map(([, result]) => result instanceof KvError && result.code)).toEqual(
        results.map(() => "OUTCOME_UNKNOWN"),
      )
      expect(results.map(([, result]) => result instanceof KvError && result.key)).toEqual([...writes.keys()])
      for (const [key, { id }] of writes) expect(await wasWrittenBy(backend, key, id)).toBe(true)
    })

    test("to a read is an outage, never a miss, and the read is not repeated", async () => {
      const key = newKey()
      await direct.put(key, newWrite("value"))
      for (const read of [
        () => backend.get(key),
        () => backend.getMany([key]),
        () => backend.exists(key),
        () => wasWrittenBy(backend, key, ""),
        () => backend.scan("", { limit: 1 }),
      ]) {
        const before = proxy.requests
        proxy.inject({ kind: "drop-reply" })
        expect(await codeOf(read())).toBe("UNAVAILABLE")
        expect(proxy.requests - before).toBe(1)
      }
      expect(await backend.exists(key)).toBe(true)
    })

    test("is settled by the resilience wrapper", async () => {
      const wrapped = resilient(backend)
      const key = newKey()
      proxy.inject({ kind: "drop-reply" })
      const created = await wrapped.put(key, newWrite("value", { absent: true }))
      expect(created).toEqual({ applied: true, version: (await direct.get(key))?.version, mayLandLate: true })
      proxy.inject({ kind: "drop-reply" })
      const version = created.version ?? ""
      const removed = await wrapped.delete(key, { id: systemRuntime.id(), condition: { version } })
      expect(removed).toEqual({ applied: true, mayLandLate: true })
    })
  })

  test("over a client, which repeats a commit without an answer, the row shows whose it is", async () => {
    const client = new Firestore({ projectId, host: `127.0.0.1:${proxy.port}`, ssl: false })
    const passed = firestore(client, { collection, requestTimeoutMs: PATIENT_MS })
    await passed.open()
    const key = newKey()
    await passed.get(key)
    const created = newWrite("value", { absent: true })
    const lost = proxy.inject({ kind: "drop-reply" })
    const code = await codeOf(passed.put(key, created).then(({ applied }) => expect(applied).toBe(true)))
    expect(lost.hits).toBe(1)
    expect(["answered", "OUTCOME_UNKNOWN"]).toContain(code)
    expect(await wasWrittenBy(passed, key, created.id)).toBe(true)
    expect(await passed.put(key, newWrite("other", { absent: true }))).toEqual({ applied: false })
    await passed.close()
    await client.terminate()
  })

  test("a reset before the service receives the write: the outcome is unknown, and the row shows it", async () => {
    const key = newKey()
    const write = newWrite("value")
    proxy.inject({ kind: "reset" })
    expect(await codeOf(backend.put(key, write))).toBe("OUTCOME_UNKNOWN")
    expect(await wasWrittenBy(backend, key, write.id)).toBe(false)
    expect(await direct.get(key)).toBeUndefined()
  })

  test("a reply after the limit: the outcome of the write is unknown, and the row shows it", async () => {
    const hurried = await connect(`127.0.0.1:${proxy.port}`, 300)
    const key = newKey()
    const write = newWrite("value")
    proxy.inject({ kind: "delay-reply", delayMs: 500 })
    expect(await codeOf(hurried.put(key, write))).toBe("OUTCOME_UNKNOWN")
    expect(await wasWrittenBy(direct, key, write.id)).toBe(true)
  })

  describe("a black hole: every call ends at its limit", () => {
    const calls: Record<string, [code: string, call: (hole: Backend) => unknown]> = {
      get: ["TIMEOUT", (hole) => hole.get("key")],
      getMany: ["TIMEOUT", (hole) => hole.getMany(["key"])],
      scan: ["TIMEOUT", (hole) => hole.scan("", { limit: 1 })],
      put: ["OUTCOME_UNKNOWN", (hole) => hole.put("key", newWrite("value"))],
      delete: ["OUTCOME_UNKNOWN", (hole) => hole.delete("key", { id: systemRuntime.id() })],
    }
    test.each(Object.entries(calls))("%s", async (_, [code, call]) => {
      await using lane = await faultProxy(server.port, "http2")
      const hole = await connect(`127.0.0.1:${lane.port}`, 300)
      await hole.get("key")
      lane.inject({ kind: "black-hole" })
      expect(await codeOf(call(hole))).toBe(code)
    })
  })

  test("many keys in doubt are looked at in one request", async () => {
    const keys = [newKey(), newKey(), newKey()]
    await direct.putMany(new Map(keys.map((key) => [key, newWrite("value")])))
    const before = proxy.requests
    expect((await backend.probe(keys)).size).toBe(keys.length)
    expect(proxy.requests - before).toBe(1)
  })

  test("an absent key and a precondition that does not hold are answers: nothing is sent again", async () => {
    const key = newKey()
    const before = proxy.requests
    expect(await backend.get(key)).toBeUndefined()
    expect(proxy.requests - before).toBe(1)
    await direct.put(key, newWrite("theirs"))
    expect(await backend.put(key, newWrite("ours", { absent: true }))).toEqual({ applied: false })
    expect(proxy.requests - before).toBe(3)
    const { version = "" } = await direct.put(key, newWrite("newer"))
    await direct.put(key, newWrite("newest"))
    expect(await backend.put(key, newWrite("ours", { version }))).toEqual({ applied: false })
    expect(proxy.requests - before).toBe(5)
  })

  test("an aborted scan rejects with the reason of the signal, without an answer", async () => {
    const controller = new AbortController()
    proxy.inject({ kind: "black-hole" })
    const scan = Promise.resolve(backend.scan("", { limit: 1, signal: controller.signal }))
    const reason = new Error("enough")
    controller.abort(reason)
    await expect(scan).rejects.toBe(reason)
    proxy.cut()
  })

  describe("an endpoint that is not there", () => {
    test("refuses connections: unavailable, and no doubt about a write", async () => {
      const refused = await connect(`127.0.0.1:${await freePort()}`)
      expect(await codeOf(refused.get("key"))).toBe("UNAVAILABLE")
      expect(await codeOf(refused.put("key", newWrite("value")))).toBe("UNAVAILABLE")
    })

    test("is found soon after it is there", async () => {
      const port = await freePort()
      const early = await connect(`127.0.0.1:${port}`)
      for (let call = 0; call < 5; call++) expect(await codeOf(early.get("key"))).toBe("UNAVAILABLE")
      const late = createServer((socket) => socket.pipe(connectTo(server.port, "127.0.0.1")).pipe(socket))
      late.listen(port, "127.0.0.1")
      await expect.poll(() => codeOf(early.get("key")), { timeout: 3_000 }).toBe("answered")
      await early.close()
      late.close()
    })

    test("accepts connections and is silent: nothing can have been sent", async () => {
      const silent = createServer((socket) => socket.on("error", () => {}))
      const mute = await connect(`127.0.0.1:${await listenOnLoopback(silent)}`, 300)
      expect(await codeOf(mute.get("key"))).toBe("TIMEOUT")
      expect(await codeOf(mute.put("key", newWrite("value")))).toBe("UNAVAILABLE")
      await mute.close()
      silent.close()
    })

    test("is another service: BINDING_INVALID, not an absent key", async () => {
      const other = createHttp2Server((_, response) => response.writeHead(404).end())
      const wrong = await connect(`127.0.0.1:${await listenOnLoopback(other)}`)
      expect(await codeOf(wrong.get("key"))).toBe("BINDING_INVALID")
      await wrong.close()
      other.close()
    })
  })
})

function newWrite(text: string, condition?: Write["condition"]): Write {
  const value = new TextEncoder().encode(text)
  return { value, id: systemRuntime.id(), ...(condition === undefined ? {} : { condition }) }
}
