import { afterEach, describe, expect, test } from "vitest"
import type { Backend, Write } from "../../../tiers/backend.ts"
import { type FirestoreSettings, firestore } from "../../../tiers/firestore/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { faultProxy } from "../../servers/fault-proxy.ts"
import { codeOf } from "../../support/failures.ts"
import { type GrpcServer, grpcServer, type Handler } from "../../support/grpc-server.ts"

const disposables: AsyncDisposable[] = []
afterEach(async () => {
  for (const disposable of disposables.splice(0).reverse()) await disposable[Symbol.asyncDispose]()
})

async function serve(commit: Handler): Promise<GrpcServer> {
  const server = await grpcServer("Firestore", { commit })
  disposables.push(server)
  return server
}

async function connect(
  settings: Partial<FirestoreSettings>,
  requestTimeoutMs: number,
  collection = "rows",
): Promise<Backend> {
  const backend = firestore({ projectId: "p", ...settings }, { collection, requestTimeoutMs })
  await backend.open()
  disposables.push({ [Symbol.asyncDispose]: () => backend.close() })
  return backend
}

function newWrite(): Write {
  return { value: new TextEncoder().encode("value"), id: systemRuntime.id() }
}

/** The identities of the writes in a commit. */
function idsIn({ writes }: Readonly<Record<string, unknown>>): string[] {
  return JSON.stringify(writes).match(/[0-9a-f]{32}/g) ?? []
}

/** Time for calls that are to be answered on a busy machine, ms. */
const PATIENT_MS = 20_000

describe("a connection that is dead without a reset", () => {
  test("is replaced after a few calls, for every backend that shares it, and no write is sent twice", async () => {
    const received: string[] = []
    const server = await serve((request) => {
      received.push(...idsIn(request))
      return { writeResults: [{ updateTime: { seconds: 1, nanos: 0 } }] }
    })
    await using proxy = await faultProxy(server.port, "http2")
    const endpoint = `127.0.0.1:${proxy.port}`
    const [one, two] = [
      await connect({ endpoint }, PATIENT_MS),
      await connect({ endpoint }, PATIENT_MS, "other"),
    ]
    await one.put("key", newWrite())
    proxy.inject({ kind: "black-hole" })

    const failed: Write[] = []
    const answered = [newWrite()]
    for (const write of Array.from({ length: 8 }, newWrite)) {
      if ((await codeOf(one.put("key", write, { timeoutMs: 400 }))) === "answered") {
        answered.push(write)
        break
      }
      failed.push(write)
    }
    expect(answered, "no call was answered").toHaveLength(2)
    expect(failed.length).toBeGreaterThan(0)
    const last = newWrite()
    expect(await codeOf(two.put("key", last))).toBe("answered")
    expect(received.filter((id) => id === last.id)).toHaveLength(1)
    for (const { id } of failed) expect(received).not.toContain(id)
    expect(new Set(received).size).toBe(received.length)
  })
})

describe("more writes at once than the connections have streams for", () => {
  const HELD = 250

  test.each([
    [1, 100],
    [2, 200],
  ])(
    "with %i channels %i are sent, and the outcome of the others is known: they were not",
    async (channels, sent) => {
      const received: string[] = []
      const server = await serve((request) => {
        received.push(...idsIn(request))
        return new Promise(() => {})
      })
      const backend = await connect({ endpoint: server.endpoint, channels }, PATIENT_MS)
      const writes = Array.from({ length: HELD }, newWrite)
      // The calls that wait end before a channel has room again.
      const limitOf = (index: number) => ({ timeoutMs: index < sent ? 3_000 : 1_500 })
      const codes = await Promise.all(
        writes.map((write, index) => codeOf(backend.put(`key:${index}`, write, limitOf(index)))),
      )
      const unknown = writes.filter((_, index) => codes[index] === "OUTCOME_UNKNOWN")
      const unsent = writes.filter((_, index) => codes[index] === "UNAVAILABLE")
      expect([unknown.length, unsent.length]).toEqual([sent, HELD - sent])
      for (const { id } of unsent) expect(received).not.toContain(id)
    },
  )

  test("all are answered if the service answers in time", async () => {
    let open = 0
    let most = 0
    const server = await serve(async () => {
      most = Math.max(most, ++open)
      await new Promise((resolve) => setImmediate(resolve))
      open--
      return { writeResults: [{ updateTime: { seconds: 1, nanos: 0 } }] }
    })
    const backend = await connect({ endpoint: server.endpoint, channels: 2 }, PATIENT_MS)
    const codes = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => codeOf(backend.put(`key:${index}`, newWrite()))),
    )
    expect(codes.filter((code) => code !== "answered")).toEqual([])
    expect(most).toBeLessThanOrEqual(200)
  })
})
