import fc from "fast-check"
import { KvError } from "../../tiers/errors.ts"
import { memory } from "../../tiers/memory.ts"
import { heapInUse } from "../support/heap.ts"
import { testRuntime } from "../support/runtime.ts"
import { PromiseBroken } from "./history.ts"
import type { Open } from "./start.ts"

/**
 * One client over a backend whose reads may lag behind the writes that it acknowledged, as a replica does: what L1 holds
 * is never older than what this process wrote, and was told so.
 */
export function lag(open: Open) {
  const steps = fc.array(
    fc.oneof(
      fc.constant({ call: "set" as const }),
      fc.record({ call: fc.constant("get" as const), behind: fc.nat(3) }),
    ),
    { maxLength: 20 },
  )
  return fc.asyncProperty(steps, async (steps) => {
    const runtime = testRuntime(1_000_000)
    const table = memory({ runtime })
    const past: Awaited<ReturnType<typeof table.get>>[] = []
    let behind = 0
    const client = await open("lag", {
      backend: { ...table, get: () => past.at(-1 - behind) },
      runtime,
    })
    let written = 0
    for (const step of steps) {
      if (step.call === "set") {
        await client.set("a", `${++written}`)
        past.push(await table.get("a"))
      } else {
        behind = step.behind
        await client.get("a")
      }
      const held = client.peekText("a")
      if (held !== undefined && Number(held) < written)
        throw new PromiseBroken(`L1 holds ${held}, not ${written}`)
    }
    await client.close()
  })
}

/** A store in an outage sends, beside one request a call, a tenth of its calls again, or one a second in the window of 10 s. */
export function outage(open: Open) {
  return fc.asyncProperty(fc.integer({ min: 10, max: 40 }), async (calls) => {
    const runtime = testRuntime(1_000_000)
    const table = memory({ runtime })
    let requests = 0
    const client = await open("outage", {
      backend: {
        ...table,
        traits: { ...table.traits, inProcess: false, maxReadBatch: 1 },
        async get() {
          requests++
          throw new KvError("UNAVAILABLE", "down", { operation: "get", backend: "memory" })
        },
      },
      runtime,
      telemetry: false,
      timeoutMs: 5_000,
    })
    const reading = Promise.allSettled(Array.from({ length: calls }, (_, index) => client.get(`${index}`)))
    await runtime.advance(5_000)
    await reading
    await client.close()
    const allowed = calls + Math.max(10, calls / 10)
    if (requests > allowed) throw new PromiseBroken(`${requests} requests for ${calls} calls in an outage`)
  })
}

/** Pages in one run, and the memory that they may leave behind, bytes. */
const PAGES = 20_000
const LEFT_BYTES = 1_500_000

/** A store that has read many pages keeps nothing of them. */
export function pages(open: Open) {
  return fc.asyncProperty(fc.constant("none"), async (prefix) => {
    const client = await open("pages", { backend: memory(), telemetry: false })
    const read = async (count: number) => {
      for (let page = 0; page < count; page++) await client.scan(prefix, { fill: true }).next()
      return heapInUse()
    }
    const before = await read(1_000)
    const left = (await read(PAGES)) - before
    await client.close()
    if (left > LEFT_BYTES) throw new PromiseBroken(`${PAGES} pages left ${left} bytes behind`)
  })
}
