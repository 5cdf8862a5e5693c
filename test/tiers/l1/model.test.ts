import fc from "fast-check"
import { LRUCache } from "lru-cache"
import { describe, expect, test } from "vitest"
import { L1Entry, sizeOf } from "../../../tiers/l1/entry.ts"
import { L1 } from "../../../tiers/l1/l1.ts"
import type { L1Settings } from "../../../tiers/l1/settings.ts"
import type { Runtime } from "../../../tiers/runtime.ts"

const KEYS = Array.from({ length: 24 }, (_, key) => `key:${key}`)
const key = fc.constantFrom(...KEYS)
const SETTINGS: L1Settings = { maxEntries: 8, maxBytes: 1e6, ttlMs: 100, negativeTtlMs: 40, jitter: 0 }

/** Two clocks that the test moves. */
function movedRuntime() {
  const clock = { ms: 0, wallStep: 0 }
  const runtime: Runtime = {
    now: () => 1_000_000 + clock.ms + clock.wallStep,
    monotonic: () => 500 + clock.ms,
    random: () => 0,
    id: () => "0".repeat(32),
    setTimer: () => ({ cancel() {} }),
  }
  return { clock, runtime }
}

describe("order and bounds are those of lru-cache", () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant("fill" as const), key, fc.nat(900)) },
      { weight: 4, arbitrary: fc.tuple(fc.constant("get" as const), key) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("text" as const), key) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("json" as const), key) },
      { weight: 2, arbitrary: fc.tuple(fc.constant("drop" as const), key) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("absent" as const), key) },
      { weight: 1, arbitrary: fc.tuple(fc.constant("clear" as const), key) },
    ),
    { maxLength: 150, size: "max" },
  )

  test("whatever is filled, read, decoded, dropped and cleared, at either bound", () => {
    fc.assert(
      fc.property(
        steps,
        fc.constantFrom(1, 2, 5, 12, 100),
        fc.constantFrom(500, 2_500, 8_000, 1e6),
        (steps, maxEntries, maxBytes) => {
          const { runtime } = movedRuntime()
          const settings = { ...SETTINGS, maxEntries, maxBytes }
          const l1 = new L1(settings, runtime)
          const model = new LruModel(settings)
          for (const [index, [what, key, size = 0]] of steps.entries()) {
            if (what === "fill") {
              const text = JSON.stringify("é".repeat(size))
              const version = String(index)
              l1.fill(key, new L1Entry(Buffer.from(text), version, undefined))
              model.fill(key, { text, version, decoded: new Set() })
            } else if (what === "drop") {
              l1.drop(key)
              model.drop(key)
            } else if (what === "absent") {
              l1.fillAbsent(key)
              model.fillAbsent(key)
            } else if (what === "clear") {
              if (index % 5 > 0) continue
              l1.clear()
              model.clear()
            } else {
              const hit = l1.get(key)
              const expected = model.get(key)
              if (hit?.version !== expected?.version) expect.unreachable(`${key} is ${hit?.version}`)
              if (hit === undefined || what === "get") continue
              const text = hit.decodeText() ?? ""
              if (what === "text") l1.keepText(key, hit)
              else {
                hit.decodeJson(text)
                l1.keepJson(key, hit)
              }
              model.decode(key, what)
            }
            const { entries, bytes, oversize } = l1.counters().evictions
            const found = [
              KEYS.map((key) => l1.versionOf(key)),
              l1.entries,
              l1.bytes,
              entries,
              bytes,
              oversize,
            ]
            if (found.join() !== model.state()) expect.unreachable(`${found} is not ${model.state()}`)
          }
          expect(l1.bytes).toBeLessThanOrEqual(maxBytes)
          for (const key of KEYS) expect(l1.get(key)?.text).toBe(model.textOf(key))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test("through growth: thousands of keys, some used again and again", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.integer({ min: 100, max: 3_000 }),
        (seed, max) => {
          const l1 = new L1({ ...SETTINGS, maxEntries: max }, movedRuntime().runtime)
          const model = new LRUCache<string, string>({ max })
          let state = seed
          for (let step = 0; step < 10_000; step++) {
            state = (Math.imul(state, 48_271) >>> 0) % 2_147_483_647
            const key = `k${Math.floor(5_000 * (state / 2_147_483_647) ** 2)}`
            const held = model.get(key)
            if (l1.get(key)?.version !== held) expect.unreachable(`${key} is not ${held}`)
            if (held !== undefined) continue
            const version = step.toString(16).padStart(48, "0")
            l1.fill(key, new L1Entry(Buffer.from(key), version, undefined))
            model.set(key, version)
          }
          expect([l1.entries, l1.counters().hits]).toEqual([model.size, 10_000 - l1.counters().fills])
        },
      ),
      { numRuns: 8 },
    )
  })
})

interface ModelEntry {
  text: string
  version: string
  decoded: Set<"text" | "json">
}

/** L1 without time, on lru-cache. */
class LruModel {
  readonly held: LRUCache<string, ModelEntry>
  readonly absent = new Set<string>()
  readonly evictions = { entries: 0, bytes: 0, oversize: 0 }
  readonly #settings: L1Settings
  #filling: string | undefined

  constructor(settings: L1Settings) {
    this.#settings = settings
    this.held = new LRUCache({
      max: settings.maxEntries,
      maxSize: settings.maxBytes,
      dispose: (_entry, _key, reason) => {
        if (reason !== "evict") return
        const full = this.#filling !== undefined
        this.#filling = undefined
        this.evictions[full ? "entries" : "bytes"]++
      },
    })
  }

  fill(key: string, entry: ModelEntry): void {
    this.absent.delete(key)
    const full = this.held.size === this.#settings.maxEntries && !this.held.has(key)
    this.#hold(key, entry, full)
  }

  decode(key: string, form: "text" | "json"): void {
    const entry = this.held.peek(key)
    if (entry === undefined) return
    entry.decoded.add(form)
    // lru-cache keeps the old size where the same value is set again.
    this.held.delete(key)
    this.#hold(key, entry, false)
  }

  #hold(key: string, entry: ModelEntry, full: boolean): void {
    const bytes = Buffer.from(entry.text).toString("latin1")
    const text = entry.decoded.has("text") ? entry.text : undefined
    const size = sizeOf(key, bytes, text, entry.decoded.has("json") ? 1 : undefined)
    if (size > this.#settings.maxBytes) this.evictions.oversize++
    this.#filling = full ? key : undefined
    this.held.set(key, entry, { size })
    this.#filling = undefined
  }

  get(key: string): ModelEntry | undefined {
    return this.held.get(key)
  }

  textOf(key: string): string | undefined {
    const entry = this.held.get(key)
    return entry?.decoded.has("text") ? entry.text : undefined
  }

  fillAbsent(key: string): void {
    this.held.delete(key)
    this.absent.add(key)
  }

  versionOf(key: string): string | null | undefined {
    return this.held.peek(key)?.version ?? (this.absent.has(key) ? null : undefined)
  }

  /** The held state of each key, and the counters. */
  state(): string {
    const { entries, bytes, oversize } = this.evictions
    const held = KEYS.map((key) => this.versionOf(key))
    return [held, this.held.size, this.held.calculatedSize, entries, bytes, oversize].join()
  }

  drop(key: string): void {
    this.held.delete(key)
    this.absent.delete(key)
  }

  clear(): void {
    this.held.clear()
    this.absent.clear()
  }
}

/** The states of an entry over time. */
const timed = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        what: fc.constant("fill" as const),
        key,
        /** How long the read took. */
        tookMs: fc.constantFrom(0, 0, 1, 30, 150),
        expiresInMs: fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ what: fc.constant("absent" as const), key }) },
    { weight: 6, arbitrary: fc.record({ what: fc.constant("get" as const), key }) },
    { weight: 3, arbitrary: fc.record({ what: fc.constant("kept" as const), key }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("drop" as const), key }) },
    { weight: 6, arbitrary: fc.record({ what: fc.constant("pass" as const), ms: fc.nat(60) }) },
    {
      weight: 1,
      arbitrary: fc.record({ what: fc.constant("step" as const), ms: fc.integer({ min: -200, max: 0 }) }),
    },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("suspect" as const) }) },
  ),
  { maxLength: 120, size: "max" },
)

interface Timed {
  version: string
  askedAt: number
  freshUntil: number
  /** Wall clock. */
  expiresAt: number
}

describe("time", () => {
  for (const keptMs of [0, 70]) {
    test(`entries are fresh, kept for ${keptMs} ms, and gone as a model by hand says`, () => {
      fc.assert(
        fc.property(timed, (steps) => {
          const { clock, runtime } = movedRuntime()
          const l1 = new L1({ ...SETTINGS, maxEntries: 100, keptMs }, runtime)
          const held = new Map<string, Timed>()
          const absent = new Map<string, number>()
          let suspectUntil = Number.NEGATIVE_INFINITY
          const expected = { hits: 0, negativeHits: 0, expirations: 0, invalidations: 0, fills: 0 }
          const isFresh = (entry: Timed) =>
            runtime.monotonic() < entry.freshUntil && runtime.now() < entry.expiresAt
          const isKept = (entry: Timed) =>
            runtime.monotonic() < entry.freshUntil + keptMs && runtime.now() < entry.expiresAt
          /** A dead entry that was found is removed. */
          const found = (key: string) => {
            const entry = held.get(key)
            if (entry === undefined || isKept(entry)) return entry
            held.delete(key)
            expected.expirations++
            return undefined
          }

          for (const [index, step] of steps.entries()) {
            const now = runtime.monotonic()
            if (step.what === "pass") clock.ms += step.ms
            else if (step.what === "step") clock.wallStep += step.ms
            else if (step.what === "suspect") {
              l1.suspectAll()
              suspectUntil = now
              for (const entry of held.values()) entry.freshUntil = Math.min(entry.freshUntil, now)
              expected.invalidations += absent.size
              absent.clear()
            } else if (step.what === "fill") {
              const { key, tookMs, expiresInMs } = step
              const expiresAt = expiresInMs === undefined ? undefined : runtime.now() + expiresInMs
              l1.fill(key, new L1Entry(Buffer.from("x"), String(index), expiresAt), now - tookMs)
              if (expiresInMs === 0) continue
              const lastsMs = now - tookMs > suspectUntil ? 100 : 0
              const freshUntil = Math.min(now - tookMs + lastsMs, now + (expiresInMs ?? 1e9))
              const entry = { version: String(index), askedAt: now - tookMs, freshUntil }
              held.set(key, { ...entry, expiresAt: expiresAt ?? Number.POSITIVE_INFINITY })
              absent.delete(key)
              expected.fills++
            } else if (step.what === "absent") {
              l1.fillAbsent(step.key)
              held.delete(step.key)
              if (now > suspectUntil) absent.set(step.key, now + 40)
            } else if (step.what === "drop") {
              l1.drop(step.key)
              if (held.delete(step.key)) expected.invalidations++
              if (absent.delete(step.key)) expected.invalidations++
            } else if (step.what === "kept") {
              const entry = found(step.key)
              const kept = l1.kept(step.key)
              expect(kept && { version: kept.entry.version, ageMs: kept.ageMs, stale: kept.stale }).toEqual(
                entry && { version: entry.version, ageMs: now - entry.askedAt, stale: !isFresh(entry) },
              )
            } else {
              const { key } = step
              const entry = found(key)
              const fresh = entry !== undefined && isFresh(entry)
              expect(l1.get(key)?.version).toBe(fresh ? entry.version : undefined)
              if (fresh) expected.hits++
              const until = absent.get(key)
              const known = until !== undefined && now < until
              expect(l1.isAbsent(key)).toBe(known)
              if (known) expected.negativeHits++
              else if (absent.delete(key)) expected.expirations++
            }
            if (l1.entries !== held.size || l1.negatives !== absent.size)
              expect.unreachable("not what is held")
          }
          expect(l1.counters()).toMatchObject(expected)
        }),
        { numRuns: 1_000 },
      )
    })
  }

  test("what gives way is dead, or the least recently used", () => {
    fc.assert(
      fc.property(timed, fc.constantFrom(0, 70), (steps, keptMs) => {
        const { clock, runtime } = movedRuntime()
        const l1 = new L1({ ...SETTINGS, keptMs }, runtime)
        /** Key → until when it is kept, the least recently used first. */
        const model = new Map<string, number>()
        const use = (key: string, until: number) => {
          model.delete(key)
          model.set(key, until)
        }
        for (const step of steps) {
          if (step.what === "pass") clock.ms += step.ms
          else if (step.what === "get") {
            const until = model.get(step.key)
            if (l1.get(step.key) !== undefined) use(step.key, until ?? Number.NaN)
          } else if (step.what === "fill") {
            const now = runtime.monotonic()
            const before = l1.counters()
            l1.fill(step.key, new L1Entry(Buffer.from("x"), "v", undefined), now - step.tookMs)
            use(step.key, now - step.tookMs + 100 + keptMs)
            const oldest = [...model.keys()].find((key) => key !== step.key)
            const gone = [...model.keys()].filter((key) => l1.versionOf(key) === undefined)
            const { evictions, expirations } = l1.counters()
            for (const key of gone) {
              if (expirations > before.expirations) expect(model.get(key)).toBeLessThanOrEqual(now)
              else if (evictions.entries > before.evictions.entries) expect(key).toBe(oldest)
            }
          } else if (step.what === "drop") l1.drop(step.key)
          for (const key of model.keys()) if (l1.versionOf(key) === undefined) model.delete(key)
          expect(l1.entries).toBe(model.size)
          expect(l1.entries).toBeLessThanOrEqual(8)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  for (const keptMs of [0, 70]) {
    test(`with an allowance of ${keptMs} ms, ${keptMs === 0 ? "order of use alone decides what gives way" : "the dead give way before the living"}`, () => {
      const { clock, runtime } = movedRuntime()
      const l1 = new L1({ ...SETTINGS, maxEntries: 4, ttlMs: 1_000, keptMs }, runtime)
      const entry = (expiresAt?: number) => new L1Entry(Buffer.from("x"), "v", expiresAt)
      for (const key of ["a", "b"]) l1.fill(key, entry(runtime.now() + 10))
      for (const key of ["c", "d", "a", "b"]) if (l1.get(key) === undefined) l1.fill(key, entry())
      clock.ms += 10 + keptMs
      l1.get("d")
      for (const key of ["e", "f"]) l1.fill(key, entry())
      const held = [..."abcdef"].filter((key) => l1.versionOf(key) !== undefined)
      expect(held.join("")).toBe(keptMs === 0 ? "bdef" : "cdef")
      expect(l1.counters()).toMatchObject(
        keptMs === 0
          ? { expirations: 0, evictions: { entries: 2 } }
          : { expirations: 2, evictions: { entries: 0 } },
      )
    })
  }
})
