import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Kv, L1Options } from "../../src/api.ts"
import { type GatedStore, gatedStore } from "../support/gated-store.ts"
import { settle } from "../support/runtime.ts"

/** The model: a plain map with expiry, which the store equals from outside. */
class Model {
  readonly #entries = new Map<string, { text: string; expiresAt: number }>()
  /** The version that the store returned for the current entry. */
  readonly versions = new Map<string, string>()
  now: number

  constructor(now: number) {
    this.now = now
  }

  get(key: string): string | undefined {
    const entry = this.#entries.get(key)
    return entry !== undefined && entry.expiresAt > this.now ? entry.text : undefined
  }

  expiresAt(key: string): number | undefined {
    const entry = this.get(key) === undefined ? undefined : this.#entries.get(key)
    return entry === undefined || entry.expiresAt === Number.POSITIVE_INFINITY ? undefined : entry.expiresAt
  }

  set(key: string, text: string, ttlMs: number | undefined): void {
    this.#entries.set(key, {
      text,
      expiresAt: ttlMs === undefined ? Number.POSITIVE_INFINITY : this.now + ttlMs,
    })
    this.versions.delete(key)
  }

  delete(key: string): void {
    this.#entries.delete(key)
    this.versions.delete(key)
  }

  keys(prefix: string): string[] {
    return [...this.#entries.keys()]
      .filter((key) => key.startsWith(prefix) && this.get(key) !== undefined)
      .sort()
  }

  present(keys: readonly string[]): Map<string, string> {
    const found = new Map<string, string>()
    for (const key of keys) {
      const text = this.get(key)
      if (text !== undefined) found.set(key, text)
    }
    return found
  }
}

type Real = GatedStore
type Command = fc.AsyncCommand<Model, Real>

/** A command without a precondition. */
function command(name: string, run: (model: Model, store: Kv, real: Real) => Promise<void>): Command {
  return {
    check: () => true,
    run: (model, real) => run(model, real.client, real),
    toString: () => name,
  }
}

const options = (ttlMs: number | undefined) => (ttlMs === undefined ? {} : { ttlMs })

const key = fc.constantFrom("a", "a:1", "a:2", "b", ".", "..", "__x__")
const keys = fc.array(key, { maxLength: 8 })
const prefix = fc.constantFrom("", "a", "a:", "b", "c")
const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 20 }), fc.constantFrom("", "null", "0", "{}"))
const ttlMs = fc.option(fc.integer({ min: 1, max: 3_000 }), { nil: undefined })
const strong = fc.constantFrom({}, { consistency: "strong" } as const, { consistency: "cached" } as const)

const commands: fc.Arbitrary<Command>[] = [
  fc.tuple(key, strong).map(([key, consistency]) =>
    command(`get(${key}, ${JSON.stringify(consistency)})`, async (model, store) => {
      expect(await store.getText(key, consistency)).toBe(model.get(key))
      const bytes = await store.get(key, consistency)
      expect(bytes && Buffer.from(bytes).toString()).toBe(model.get(key))
    }),
  ),
  fc.tuple(key, strong).map(([key, consistency]) =>
    command(`exists(${key})`, async (model, store) => {
      expect(await store.exists(key, consistency)).toBe(model.get(key) !== undefined)
    }),
  ),
  fc.tuple(key, strong).map(([key, consistency]) =>
    command(`getEntry(${key})`, async (model, store) => {
      const entry = await store.getEntry(key, consistency)
      expect(entry && Buffer.from(entry.value).toString()).toBe(model.get(key))
      expect(entry?.expiresAt).toBe(model.expiresAt(key))
      const known = model.versions.get(key)
      if (entry !== undefined && known !== undefined) expect(entry.version).toBe(known)
      if (entry !== undefined) model.versions.set(key, entry.version)
    }),
  ),
  fc.tuple(keys, fc.oneof(fc.record({ fill: fc.boolean() }), strong)).map(([keys, options]) =>
    command(`getMany(${keys}, ${JSON.stringify(options)})`, async (model, store) => {
      expect(await store.getManyText(keys, options)).toEqual(model.present(keys))
    }),
  ),
  key.map((key) =>
    command(`peek(${key})`, async (model, store) => {
      const held = store.peekText(key)
      if (held !== undefined) expect(held).toBe(model.get(key))
    }),
  ),
  fc.tuple(key, text, ttlMs).map(([key, text, ttlMs]) =>
    command(`set(${key}, ${JSON.stringify(text)}, ${ttlMs})`, async (model, store) => {
      expect(await store.set(key, text, options(ttlMs))).toBe(true)
      model.set(key, text, ttlMs)
    }),
  ),
  fc.tuple(key, text, ttlMs).map(([key, text, ttlMs]) =>
    command(`create(${key}, ${JSON.stringify(text)}, ${ttlMs})`, async (model, store) => {
      const created = await store.put(key, text, { ...options(ttlMs), ifNotExists: true })
      expect(created.applied).toBe(model.get(key) === undefined)
      if (!created.applied) return
      model.set(key, text, ttlMs)
      expect(created.expiresAt).toBe(model.expiresAt(key))
      if (created.version !== undefined) model.versions.set(key, created.version)
    }),
  ),
  fc.tuple(key, text, ttlMs).map(([key, text, ttlMs]) =>
    command(`swap(${key}, ${JSON.stringify(text)}, ${ttlMs})`, async (model, store) => {
      const ifVersion = model.versions.get(key)
      if (ifVersion === undefined) return
      const swapped = await store.set(key, text, { ...options(ttlMs), ifVersion })
      expect(swapped).toBe(model.get(key) !== undefined)
      if (swapped) model.set(key, text, ttlMs)
      expect(await store.set(key, text, { ifVersion })).toBe(false)
    }),
  ),
  key.map((key) =>
    command(`delete(${key})`, async (model, store) => {
      expect(await store.delete(key)).toBe(true)
      model.delete(key)
    }),
  ),
  key.map((key) =>
    command(`deleteIf(${key})`, async (model, store) => {
      const ifVersion = model.versions.get(key)
      if (ifVersion === undefined) return
      const deleted = await store.delete(key, { ifVersion })
      expect(deleted).toBe(model.get(key) !== undefined)
      if (deleted) model.delete(key)
    }),
  ),
  fc.tuple(fc.array(fc.tuple(key, text), { maxLength: 6 }), ttlMs).map(([entries, ttlMs]) =>
    command(`setMany(${JSON.stringify(entries)}, ${ttlMs})`, async (model, store) => {
      await store.setMany(entries, options(ttlMs))
      for (const [key, text] of entries) model.set(key, text, ttlMs)
    }),
  ),
  keys.map((keys) =>
    command(`deleteMany(${keys})`, async (model, store) => {
      await store.deleteMany(keys)
      for (const key of keys) model.delete(key)
    }),
  ),
  fc.tuple(key, fc.option(text, { nil: undefined }), ttlMs, strong).map(([key, text, ttlMs, consistency]) =>
    command(`getOrSet(${key}, ${JSON.stringify(text)}, ${ttlMs})`, async (model, store) => {
      const there = model.get(key)
      const load = () => (there === undefined ? text : expect.unreachable("it was there, and loaded"))
      expect(await store.getOrSet(key, load, { as: "text", ...options(ttlMs), ...consistency })).toBe(
        there ?? text,
      )
      if (there === undefined && text !== undefined) model.set(key, text, ttlMs)
    }),
  ),
  fc.tuple(prefix, fc.integer({ min: 1, max: 4 }), fc.boolean()).map(([prefix, limit, fill]) =>
    command(`scan(${prefix}, limit ${limit}, fill ${fill})`, async (model, store) => {
      const found = new Map<string, string>()
      for await (const { key, value } of store.scan(prefix, { limit, fill })) {
        expect(found.has(key)).toBe(false)
        found.set(key, Buffer.from(value).toString())
      }
      expect(found).toEqual(model.present(model.keys(prefix)))
    }),
  ),
  fc
    .option(key, { nil: undefined })
    .map((key) => command(`invalidate(${key})`, async (_model, store) => store.invalidate(key))),
  fc.integer({ min: 1, max: 2_000 }).map((ms) =>
    command(`advance(${ms})`, async (model, _store, { runtime }) => {
      await runtime.advance(ms)
      model.now += ms
    }),
  ),
  fc.integer({ min: 1, max: 1_000 }).map((ms) =>
    command(`stepWallClock(${ms})`, async (model, _store, { runtime }) => {
      runtime.stepWallClock(ms)
      model.now += ms
    }),
  ),
]

const l1s: Record<string, L1Options | false> = {
  on: { ttlMs: 1_000, negativeTtlMs: 1_000, jitter: 0.1 },
  off: false,
  "one entry small": { ttlMs: 1_000, maxEntries: 1 },
  "one byte small": { ttlMs: 1_000, maxBytes: 1 },
  "a few bytes small": { ttlMs: 1_000, maxBytes: 600 },
}

describe("a store is a map with expiry, whatever its tiers do", () => {
  for (const [name, l1] of Object.entries(l1s)) {
    for (const networked of [false, true]) {
      test(`with L1 ${name}, ${networked ? "over a network" : "embedded"}`, async () => {
        await fc.assert(
          fc.asyncProperty(fc.commands(commands, { maxCommands: 40, size: "max" }), async (commands) => {
            const real = await gatedStore({ l1, networked })
            await fc.asyncModelRun(() => ({ model: new Model(real.runtime.now()), real }), commands)
            await settle()
            expect(real.client.stats()).toMatchObject({ inFlight: 0, quarantined: 0 })
            await real.client.close()
          }),
          { numRuns: 60 },
        )
      })
    }
  }
})
