import { once } from "node:events"
import { copyFile, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Worker } from "node:worker_threads"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import { broadcastBus } from "../../../tiers/buses/broadcast.ts"
import { type Built, build } from "../../support/built.ts"
import { BusHub } from "../../support/bus-hub.ts"
import { describeBusConformance } from "../../support/conformance/bus-run.ts"

const THREAD = fileURLToPath(new URL("../../support/children/thread.mjs", import.meta.url))

describeBusConformance("broadcast", {
  createPlace: () => ({ connect: () => broadcastBus() }),
})

describeBusConformance("hub of the tests", {
  createPlace() {
    const hub = new BusHub()
    const members: ReturnType<BusHub["member"]>[] = []
    const all = (act: "cut" | "connect") => () => {
      for (const one of members) one[act]()
    }
    return {
      connect() {
        const one = hub.member()
        members.push(one)
        return one
      },
      cut() {
        all("cut")()
        all("connect")()
      },
    }
  },
  departures: {
    "frames: those of another channel do not arrive": "a hub is one channel",
  },
})

let built: Built
let directory: string
beforeAll(async () => {
  built = await build()
  await copyFile(THREAD, join(built.folder, "thread.mjs"))
  directory = await mkdtemp(join(tmpdir(), "tiered-kv-threads-"))
})
afterAll(async () => {
  await built.remove()
  await rm(directory, { recursive: true })
})

async function thread() {
  const worker = new Worker(join(built.folder, "thread.mjs"), { workerData: `lmdb:${directory}` })
  onTestFinished(async () => void (await worker.terminate()))
  await once(worker, "message")
  return async (...call: unknown[]): Promise<unknown> => {
    worker.postMessage(call)
    const [answer] = await once(worker, "message")
    return answer
  }
}

test("worker threads forget what another one writes, and a thread that ends says so", async () => {
  const [writer, reader] = [await thread(), await thread()]
  await writer("set", "a", "1")
  await expect
    .poll(() => reader("bus"))
    .toMatchObject({ kind: "broadcast", messages: { received: expect.any(Number) } })
  await expect
    .poll(async () => {
      await reader("get", "a")
      return reader("peekText", "a")
    })
    .toBe("1")
  await writer("set", "a", "2")
  await expect.poll(() => reader("peekText", "a")).toBe(null)
  expect(await reader("getText", "a")).toBe("2")
  await writer("close")
  expect(await reader("bus")).toMatchObject({ connected: true, messages: { foreign: 0, invalid: 0 } })
})

test("options that no bus has are refused", () => {
  const invalid = expect.objectContaining({ code: "INVALID_OPTION" })
  for (const options of [{ heartbeatMs: 0 }, { leaseMs: 1_000 }, { channel: "" }, { chanel: "a" }]) {
    expect(() => broadcastBus(options), JSON.stringify(options)).toThrow(invalid)
  }
})
