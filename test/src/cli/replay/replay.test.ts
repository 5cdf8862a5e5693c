import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { gzipSync } from "node:zlib"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { run } from "../../../../src/cli/program.ts"
import { ReplayKeys } from "../../../../src/cli/replay/keys.ts"
import { L1Simulation } from "../../../../src/cli/replay/l1-simulation.ts"
import { logClock } from "../../../../src/cli/replay/log-clock.ts"
import type { Access } from "../../../../src/cli/replay/log-format.ts"
import type { ReplayReport } from "../../../../src/cli/replay/report.ts"
import { Replay } from "../../../../src/cli/replay/run.ts"
import { kv } from "../../../../src/kv.ts"
import type { Backend } from "../../../../tiers/backend.ts"
import { KvError } from "../../../../tiers/errors.ts"
import { memory } from "../../../../tiers/memory.ts"
import { gatedBackend } from "../../../support/gated-backend.ts"
import { testRuntime } from "../../../support/runtime.ts"
import { lruHits, skewedKeys, traceKeys, traceNames, tracePath } from "../../../support/traces.ts"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-test-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function fileOf(content: string | Uint8Array): Promise<string> {
  const path = join(folder, `log-${Math.random()}`)
  await writeFile(path, content)
  return path
}

async function tieredKv(args: string[], stdin: Readable = Readable.from([])) {
  const written = { stdout: "", stderr: "" }
  const into = (name: "stdout" | "stderr") =>
    new Writable({
      write(chunk, _encoding, done) {
        written[name] += String(chunk)
        done()
      },
    })
  const exitCode = await run(args, { stdin, stdout: into("stdout"), stderr: into("stderr") })
  return { exitCode, ...written }
}

async function reportOf(path: string, ...options: string[]): Promise<ReplayReport> {
  const { exitCode, stdout, stderr } = await tieredKv(["replay", path, "--json", ...options])
  expect(stderr).toBe("")
  expect(exitCode).toBe(0)
  return JSON.parse(stdout)
}

const MEMORY = ["--backend", "memory:"]
const chosen = ({ simulation }: ReplayReport) => simulation.sizes.find((size) => size.chosen)

const userKeys = (length: number, keyCount: number) =>
  skewedKeys(7, length, keyCount).map((key) => `user:${key}`)

describe("a log of keys", () => {
  test("gives the same hits measured, simulated and of lru-cache, one access at a time", async () => {
    const keys = userKeys(5_000, 800)
    const report = await reportOf(await fileOf(keys.join("\n")), ...MEMORY, "--l1-entries", "100")
    const hits = lruHits(keys, 100)
    expect(report.l1).toMatchObject({
      reads: 5_000,
      hits,
      hitRatio: hits / 5_000,
      entries: 100,
      maxEntries: 100,
    })
    expect(report.l2).toMatchObject({ reads: 5_000 - hits, hits: 5_000 - hits, misses: 0, hitRatio: 1 })
    expect(report.saved).toMatchObject({ reads: hits, byL1: hits, coalesced: 0 })
    expect(chosen(report)).toMatchObject({ maxEntries: 100, hits, l2Reads: 5_000 - hits })
    for (const { maxEntries, hits } of report.simulation.sizes) {
      expect(hits).toBe(lruHits(keys, maxEntries ?? 1_000))
    }
  })

  test.each(traceNames)(
    "gives the same hits measured, simulated and of lru-cache on the trace %s",
    async (name) => {
      const keys = (await traceKeys(name)).slice(0, 30_000)
      const report = await reportOf(tracePath(name), ...MEMORY, "--l1-entries", "700", "--limit", "30000")
      const hits = lruHits(keys, 700)
      expect(report.log).toMatchObject({
        accesses: keys.length,
        distinctKeys: new Set(keys).size,
        interrupted: false,
      })
      expect(report.l1.hits).toBe(hits)
      expect(chosen(report)?.hits).toBe(hits)
    },
  )

  test("is read from standard input and from gzip; illegal keys are hashed and counted", async () => {
    const stdin = Readable.from([gzipSync("/index.html?q=1\nok\n/index.html?q=1\n\xff\n")])
    const { exitCode, stdout } = await tieredKv(["replay", "-", ...MEMORY], stdin)
    expect(exitCode).toBe(0)
    expect(stdout).toContain("standard input: 4 accesses to 3 keys, format keys")
    expect(stdout).toContain("keys not legal here, replaced by a hash: 2")
    expect(stdout).toMatch(/^L1 +4 +1 +25\.0 %/m)
    expect(stdout).toContain("(this run)")
    expect(stdout).toContain("nothing expires")
  })

  test("may have bad lines, which are listed and do not end the replay", async () => {
    const { exitCode, stdout } = await tieredKv(["replay", await fileOf("a\n\0\0\nb\n"), ...MEMORY])
    expect(exitCode).toBe(0)
    expect(stdout).toContain("lines that could not be read, left out: 1\n  line 2: binary data")
  })

  test("is replayed over LMDB in a temporary directory by default, which is removed afterwards", async () => {
    const path = await fileOf("a\nb\na\n")
    const temporary = await mkdtemp(join(folder, "tmp-"))
    vi.stubEnv("TMPDIR", temporary)
    const report = await reportOf(path)
    vi.unstubAllEnvs()
    expect(report.run.backend.kind).toBe("lmdb")
    expect(report.l1).toMatchObject({ reads: 3, hits: 1 })
    expect(await readdir(temporary)).toEqual([])
  })

  test("is replayed over a store of the user's, which keeps its own entries and no other", async () => {
    const backend = `lmdb:${join(folder, "mine")}`
    await tieredKv(["set", "-b", backend, "a", "precious"])
    const log = await fileOf("1,a,1,10,1,delete,0\n2,a,1,10,1,set,60\n3,b,1,10,1,get,0\n")
    expect((await reportOf(log, "--backend", backend)).log.accesses).toBe(3)
    expect((await tieredKv(["scan", "-b", backend])).stdout).toBe("a\tprecious\n")
  })

  test.each([
    ["no file", "none", /^tiered-kv: INPUT_UNREADABLE: cannot read .*no such file\n$/],
    ["an empty file", "", /^tiered-kv: INPUT_EMPTY: .* holds no accesses\n$/],
    [
      "bad lines alone",
      "\0\n\0\n",
      /^tiered-kv: INPUT_EMPTY: .* 2 lines that could not be read; line 1: binary data\n$/,
    ],
  ])("%s gives a clear error and exit code 2", async (what, content, words) => {
    const path = what === "no file" ? join(folder, content) : await fileOf(content)
    const { exitCode, stdout, stderr } = await tieredKv(["replay", path, ...MEMORY])
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" })
    expect(stderr).toMatch(words)
  })
})

describe("a log with times, writes and TTLs", () => {
  const log = (lines: string[]) => fileOf(`${lines.join("\n")}\n`)

  test("entries expire in the time of the log, however fast it is replayed", async () => {
    const path = await log([
      "0,k,1,10,1,get,0", // the backend
      "2,k,1,10,1,get,0", // L1
      "60,k,1,10,1,get,0", // past the L1 TTL: the backend
      "60,s,1,10,1,set,3600",
      "61,s,1,10,1,get,0", // the backend, as the write invalidated
      "62,s,1,10,1,get,0", // L1
      "7260,s,1,10,1,get,0", // past its own TTL: absent
      "7260,s,1,10,1,get,0", // known to be absent
      "7261,s,1,10,1,add,0",
      "7262,s,1,10,1,get,0", // there again
    ])
    const report = await reportOf(path, ...MEMORY, "--l1-ttl-ms", "10000")
    expect(report.log).toMatchObject({ format: "twitter", reads: 8, writes: 2, spanMs: 7_262_000 })
    expect(report.l1).toMatchObject({ hits: 2, negativeHits: 1, expirations: 2, ttlMs: 10_000 })
    expect(report.l2).toMatchObject({ reads: 5, hits: 4, misses: 1 })
    expect(report.simulation.expiry).toBe(true)
    expect(chosen(report)?.hits).toBe(2)
  })

  test("the sizes of the log are stored; those too large are cut and counted", async () => {
    const path = await log(["1,a,1,1000,1,get,0", "1,b,1,30000,1,get,0", "1,c,1,0,1,get,0"])
    const report = await reportOf(path, ...MEMORY, "--value-bytes", "50")
    expect(report.log.cutValues).toBe(1)
    expect(report.l1.bytes).toBeGreaterThan(1_000 + 24_576 + 50)
    expect(report.l1.bytes).toBeLessThan(1_000 + 24_576 + 50 + 3 * 400)
  })

  test("on a clock that only the log moves, measured and simulated hits are the same at every size", async () => {
    const accesses = timedAccesses(6_000)
    for (const maxEntries of [10, 40, 1_000]) {
      const { stats, simulated } = await replayInMemory(accesses, { maxEntries, ttlMs: 7_000 })
      expect(stats.l1.hits).toBe(simulated)
      expect(stats.l1.evictions.bytes).toBe(0)
    }
  })

  test("the clock keeps its wall time and its monotonic time together, and never runs back", () => {
    const system = testRuntime(1_000_000)
    const clock = logClock(system)
    const { runtime } = clock
    const started = runtime.now() - runtime.monotonic()
    clock.advanceTo(50_000)
    expect(runtime.monotonic()).toBe(0)
    clock.advanceTo(59_000)
    expect(runtime.monotonic()).toBe(9_000)
    clock.advanceTo(51_000)
    expect(runtime.monotonic()).toBe(9_000)
    expect(runtime.now() - runtime.monotonic()).toBe(started)
  })
})

describe("a replay", () => {
  const reads = (keys: string[]): Access[] => keys.map((key) => ({ key, operation: "read" }))

  test("coalesces concurrent reads of one key on a backend that answers later", async () => {
    const { stats, tally } = await replayInMemory(reads(Array(64).fill("hot")), {
      concurrency: 16,
      backend: gated(),
    })
    expect(tally).toMatchObject({ reads: 64, found: 64 })
    expect(stats.l2).toMatchObject({ hits: 1, coalesced: 15 })
    expect(stats.l1.hits).toBe(48)
  })

  test("counts an access that was throttled, and goes on with the others", async () => {
    const gate = gated()
    gate.script("get", "pass", { fail: throttled() })
    const { tally } = await replayInMemory(reads(["a", "b", "c"]), { backend: gate })
    expect(tally).toMatchObject({ accesses: 3, found: 2, failed: 1, failures: new Map([["THROTTLED", 1]]) })
  })

  test("ends after some failures in a row where the backend is down", async () => {
    const gate = gated()
    gate.always("get", { fail: throttled() })
    const keys = Array.from({ length: 500 }, (_, i) => `k${i}`)
    await expect(replayInMemory(reads(keys), { backend: gate })).rejects.toMatchObject({ code: "THROTTLED" })
    expect(gate.count("get")).toBe(20)
  })

  test("ends at once with an error that is not retryable", async () => {
    const gate = gated()
    gate.script("get", { fail: new KvError("ACCESS_DENIED", "no", { operation: "get" }) })
    await expect(replayInMemory(reads(["a", "b"]), { backend: gate })).rejects.toMatchObject({
      code: "ACCESS_DENIED",
    })
    expect(gate.count("get")).toBe(1)
  })

  test("performs nothing further once it was interrupted", async () => {
    const gate = gated()
    const interrupt = new AbortController()
    gate.hold("get")
    const replaying = replayInMemory(reads(["a", "b", "c", "d"]), {
      backend: gate,
      concurrency: 2,
      signal: interrupt.signal,
    })
    await expect.poll(() => gate.count("get")).toBe(2)
    interrupt.abort()
    gate.releaseAll()
    expect((await replaying).tally.accesses).toBe(2)
  })

  const throttled = () => new KvError("THROTTLED", "slower", { operation: "get" })
  /** In process, so that no wrapper retries. */
  const gated = () => gatedBackend({ traits: { inProcess: true } })
})

/** Replays accesses on a clock that moves only with them. */
async function replayInMemory(
  accesses: Access[],
  options: {
    maxEntries?: number
    ttlMs?: number
    concurrency?: number
    backend?: Backend
    signal?: AbortSignal
  },
) {
  const { maxEntries = 1_000, ttlMs = 1_000_000, concurrency = 1 } = options
  const clock = logClock(testRuntime())
  const { runtime } = clock
  const backend = options.backend ?? memory({ runtime })
  const measured = await kv("measured", { backend, runtime, l1: { maxEntries, ttlMs, jitter: 0 } })
  const seeding = await kv("seeding", { backend, runtime, l1: false })
  const simulation = new L1Simulation([maxEntries], ttlMs)
  const signal = options.signal ?? new AbortController().signal
  const replay = new Replay({ measured, seeding }, new ReplayKeys(""), simulation, clock, {
    concurrency,
    valueBytes: 10,
    signal,
  })
  await replay.run(accesses)
  return { stats: measured.stats(), tally: replay.tally, simulated: simulation.result()[0]?.hits }
}

function timedAccesses(length: number): Access[] {
  return userKeys(length, 60).map((key, i): Access => {
    const atMs = Math.floor(i / 10) * 1_000
    if (i % 23 === 0) return { key, operation: "delete", atMs }
    if (i % 17 === 0) return { key, operation: "add", atMs, ttlMs: 5_000 }
    if (i % 11 === 0) return { key, operation: "write", atMs, ...(i % 2 === 0 ? { ttlMs: 3_000 } : {}) }
    return { key, operation: "read", atMs }
  })
}
