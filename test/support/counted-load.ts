import type { MeterProvider } from "@opentelemetry/api"
import { kv } from "../../src/kv.ts"
import type { Backend } from "../../tiers/backend.ts"
import { testRuntime } from "./runtime.ts"

/** What a load counts by itself: its own calls, and those that reach the backend. */
export interface LoadCount {
  /** Keys that it read. */
  reads: number
  /** Those of them that bypassed L1. */
  strong: number
  /** Reads that it made while another of the same key was under way. */
  coalesced: number
  /** Keys that the backend was asked for, and those that were found. */
  asked: number
  found: number
}

/** A load on one store that counts itself, without asking the store or its telemetry. */
export interface CountedLoad {
  readonly count: LoadCount
  /** Reads, writes, loads and failures of every kind that the metrics tell apart. */
  round(): Promise<void>
  close(): Promise<void>
}

const KEYS = 300
const AT_ONCE = 8

/** @param reads skewed reads a round */
export async function startLoad(
  name: string,
  backend: Backend,
  meterProvider: MeterProvider,
  reads: number,
): Promise<CountedLoad> {
  const count: LoadCount = { reads: 0, strong: 0, coalesced: 0, asked: 0, found: 0 }
  const { random } = testRuntime()
  const store = await kv(name, {
    backend: counting(backend, count),
    l1: { maxEntries: 60, ttlMs: 60_000, negativeTtlMs: 60_000 },
    telemetry: { meterProvider },
  })
  const keys = Array.from({ length: KEYS }, (_, i) => `key:${i}`)
  await store.setMany(keys.map((key) => [key, `value of ${key}`]))

  let rounds = 0
  const read = (call: Promise<unknown>) => {
    count.reads++
    return call
  }
  return {
    count,
    async round() {
      rounds++
      for (let i = 0; i < reads; i++) {
        const key = `key:${Math.floor(KEYS * random() ** 3)}`
        await read(store.get(key))
      }
      for (let i = 0; i < 3; i++) await read(store.get("absent"))
      count.strong++
      await read(store.get("key:1", { consistency: "strong" }))

      const cold = `cold:${rounds}`
      await store.set(cold, "read by many at once")
      count.reads += AT_ONCE
      if (!backend.traits.inProcess) count.coalesced += AT_ONCE - 1
      await Promise.all(Array.from({ length: AT_ONCE }, () => store.get(cold)))

      await read(store.getOrSet(`loaded:${rounds}`, () => rounds))
      await read(store.getOrSet("refused", refuse).catch(ignoreRefusal))
      await store.delete("key:0")
      await store.set("key:0", "written again")
    },
    async close() {
      await store.close()
      await backend.close()
    },
  }
}

class Refusal extends Error {
  override name = "Refusal"
}

function refuse(): never {
  throw new Refusal("the origin does not answer")
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof Refusal)) throw error
}

/** `backend`, with its reads counted. */
function counting(backend: Backend, count: LoadCount): Backend {
  const { lend } = backend
  const note = <T>(entry: T): T => {
    count.asked++
    if (entry !== undefined) count.found++
    return entry
  }
  return {
    ...backend,
    async get(key) {
      return note(await backend.get(key))
    },
    async getMany(keys) {
      const found = await backend.getMany(keys)
      for (const key of keys) note(found.get(key))
      return found
    },
    ...(lend === undefined ? {} : { lend: (key: string) => note(lend(key)) }),
  }
}
