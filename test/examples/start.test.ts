import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest"
import { demonstrate } from "../../examples/start/demonstration.ts"
import { type Document, installedPackages, keyOf, type Package } from "../../examples/start/documents.ts"
import { fill } from "../../examples/start/fill.ts"
import { seededRandom, zipf } from "../../examples/start/popularity.ts"
import { read } from "../../examples/start/readers.ts"
import type { Kv } from "../../src/api.ts"
import { kv } from "../../src/kv.ts"

let packages: Package[]
let documents: Document[]
beforeAll(async () => {
  packages = await installedPackages()
  documents = packages.flatMap((one) => one.documents)
})

const stores: Kv[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})
async function openStore(): Promise<Kv> {
  const store = await kv("start", { backend: "memory:", l1: { maxEntries: 50 } })
  stores.push(store)
  return store
}

const reading = { readers: 8, seconds: 0.1, seed: 1, exponent: 1 }

describe("the documents of the example", () => {
  test("are hundreds, of known versions, some JSON, some too large", () => {
    expect(packages.every(({ version }) => /^\d+\.\d+\.\d+/.test(version))).toBe(true)
    expect(documents.length).toBeGreaterThan(300)
    expect(documents.filter(({ json }) => json !== undefined).length).toBeGreaterThan(3)
    expect(documents.filter(({ bytes }) => bytes.byteLength > 24_576).length).toBeGreaterThan(3)
  })

  test("have legal keys, each its own", () => {
    expect(new Set(documents.map(({ key }) => key)).size).toBe(documents.length)
    for (const { key } of documents) expect(key).toMatch(/^[A-Za-z0-9\-_:.]{1,512}$/)
    expect(keyOf("@types/node", "fs/promises.d.ts")).toBe("types:node:fs:promises.d.ts")
    expect(keyOf("p", "a b/ü.md")).toBe("p:a-b:-.md")
  })

  test("are refused by the store where they are larger than 24 KiB, and stored otherwise", async () => {
    const { accepted, refused } = await fill(await openStore(), documents)
    expect(accepted).toEqual(documents.filter(({ bytes }) => bytes.byteLength <= 24_576))
    expect(refused).toHaveLength(documents.length - accepted.length)
    for (const { document, error } of refused) {
      expect(error).toMatchObject({ code: "INVALID_VALUE", limit: 24_576, actual: document.bytes.byteLength })
    }
  })
})

describe("the readers of the example", () => {
  test("choose by Zipf: rank k in proportion to 1/k, the same for the same seed", () => {
    const choose = (seed: number, exponent: number) => {
      const pick = zipf(
        Array.from({ length: 100 }, (_, i) => i),
        exponent,
        seededRandom(seed),
      )
      return Array.from({ length: 100_000 }, pick)
    }
    expect(choose(5, 1)).toEqual(choose(5, 1))
    expect(choose(5, 1)).not.toEqual(choose(6, 1))
    const counts = countsOf(choose(5, 1))
    const total = Array.from({ length: 100 }, (_, i) => 1 / (i + 1)).reduce((sum, share) => sum + share)
    expect((counts[0] ?? 0) / 100_000).toBeCloseTo(1 / total, 2)
    expect((counts[9] ?? 0) / 100_000).toBeCloseTo(0.1 / total, 2)
    expect((countsOf(choose(5, 0))[99] ?? 0) / 100_000).toBeCloseTo(0.01, 2)
  })

  test("read bytes, text and JSON, and load what is not stored", async () => {
    const store = await openStore()
    const { accepted } = await fill(store, documents)
    const unstored = new Set(accepted.slice(0, 100))
    await store.deleteMany([...unstored].map(({ key }) => key))
    const tally = await read(store, accepted, unstored, reading, () => {})
    expect(Math.min(tally.bytes, tally.text, tally.json, tally.readThrough)).toBeGreaterThan(0)
    const { l1, loader } = store.stats()
    expect(l1.evictions.entries).toBeGreaterThan(0)
    expect(loader.loads).toBeGreaterThan(0)
    expect(loader.loads).toBeLessThanOrEqual(100)
  })

  test.each([
    ["bytes", (document: Document) => document.json === undefined],
    ["JSON", (document: Document) => document.json !== undefined],
  ])("notice %s that differ from the file", async (_what, chosen) => {
    const store = await openStore()
    const [document] = documents.filter((one) => chosen(one) && one.bytes.byteLength < 20_000)
    if (document === undefined) throw new Error("there is no such document")
    await store.set(document.key, "[1]")
    await expect(read(store, [document], new Set(), reading, () => {})).rejects.toThrow(document.key)
  })
})

test("the readers of the example stop when they are interrupted", async () => {
  const store = await openStore()
  const { accepted } = await fill(store, documents)
  const interrupt = new AbortController()
  const onTurn = () => interrupt.abort(new Error("enough"))
  const patient = { ...reading, seconds: 1_000, signal: interrupt.signal }
  await expect(read(store, accepted, new Set(), patient, onTurn)).rejects.toThrow("enough")
})

test("the demonstration ends in a table of both runs, and leaves nothing behind", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tiered-kv-test-"))
  vi.stubEnv("TMPDIR", folder)
  let shown = ""
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      shown += String(chunk)
      done()
    },
  })
  const options = { readers: 16, seconds: 0.3, seed: 42, exponent: 1, l1Entries: 100 }
  await demonstrate(options, { stdin: Readable.from([]), stdout, stderr: stdout })
  expect(shown).toMatch(/typescript +\d+\.\d+\.\d+/)
  expect(shown).toMatch(/Refused \d+ with INVALID_VALUE/)
  expect(shown).toContain("synthetic")
  expect(shown).toContain("seed 42")
  expect(shown).toMatch(/with L1 +L1 off/)
  expect(shown).toMatch(/L1 hit ratio +\d+\.\d %/)
  expect(shown).toMatch(/L2 read p99 +[\d.]+ (ns|µs|ms) +[\d.]+ (ns|µs|ms)/)
  expect(shown).toMatch(/entries in L1 +100 of 100/)
  expect(await readdir(folder)).toEqual([])
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true })
})

function countsOf(picks: readonly number[]): number[] {
  const counts = new Map<number, number>()
  for (const pick of picks) counts.set(pick, (counts.get(pick) ?? 0) + 1)
  return [...counts.values()].sort((a, b) => b - a)
}
