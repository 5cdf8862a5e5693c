import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest"
import type { KvStats } from "../../../src/stats.ts"
import { type FaultProxy, faultProxy } from "../../servers/fault-proxy.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireServer } from "../../servers/require-server.ts"
import { type Built, build } from "../../support/built.ts"
import { judge, type Seen } from "../../support/fleet-history.ts"

const CHILD = fileURLToPath(new URL("../../support/children/fleet-process.mjs", import.meta.url))
const PROCESSES = 4
const KEYS = Array.from({ length: 40 }, (_, index) => `key:${index}`)
const TIMES = { heartbeatMs: 250, leaseMs: 1_000 }
const BOUND_MS = TIMES.heartbeatMs + TIMES.leaseMs
const WRITES = Number(process.env.FLEET_WRITES ?? 1_500)
const SEED = Number(process.env.FLEET_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** Where one process reaches Redis, by a proxy for the rows and one for the bus. */
interface Seat {
  readonly rows: FaultProxy
  readonly bus: FaultProxy
  child: ChildProcess
  /** The processes in this seat, one after the other. */
  readonly lives: Life[]
}

/** What one process has seen, and its statistics. */
interface Life {
  readonly seen: Seen[]
  stats?: KvStats
}

let built: Built
beforeAll(async () => {
  built = await build()
  await copyFile(CHILD, join(built.folder, "fleet-process.mjs"))
})
afterAll(() => built.remove())

test("the judge finds what is older than the bound, and what goes back", () => {
  const written: Seen[] = [1, 2].map((sequence) => ({
    ...{ kind: "written", key: "a", sequence, covered: true },
    at: sequence * 100,
  }))
  const reads = (...reads: [sequence: number, at: number][]): Seen[] =>
    reads.map(([sequence, at]) => ({ kind: "read", key: "a", sequence, at, end: at + 1 }))
  expect(judge([written, reads([0, 149], [1, 200], [1, 250], [2, 251], [2, 900])], 50)).toMatchObject({
    ...{ violations: [], writes: 2, covered: 2, staleReads: 3, oldestMs: 50 },
  })
  expect(judge([written, reads([1, 251])], 50).violations).toHaveLength(1)
  expect(judge([written, reads([2, 300], [1, 310])], 500).violations).toEqual([
    "process 1 read a = 1 after 2",
  ])
  expect(judge([written, reads([2, 300], [1, 240])], 500).violations).toEqual([])
  const uncovered = written.map((seen) => ({ ...seen, covered: false }))
  expect(judge([uncovered, reads([1, 900])], 50).violations).toEqual([])
})

await requireServer("a fleet over redis", startRedisServer, (server) => {
  test(`processes that are cut off, killed and stopped read nothing older than the bound (seed ${SEED})`, {
    timeout: WRITES * 20 + 60_000,
  }, async () => {
    const random = randomOf(SEED)
    const seats = await Promise.all(Array.from({ length: PROCESSES }, (_, number) => takeSeat(number)))
    let kills = 0
    let stops = 0
    const FAULTS: Readonly<Record<string, (seat: Seat, number: number) => Promise<void> | void>> = {
      "cut bus": ({ bus }) => bus.cut(),
      "cut rows": ({ rows }) => rows.cut(),
      "delay bus": ({ bus }) => void bus.inject({ kind: "stall", delayMs: random() * 600 }),
      "delay bus answers": ({ bus }) => void bus.inject({ kind: "delay-reply", delayMs: random() * 600 }),
      "delay rows": ({ rows }) => void rows.inject({ kind: "delay-reply", delayMs: random() * 600 }),
      "lose bus answer": ({ bus }) => void bus.inject({ kind: "drop-reply" }),
      "lose row answer": ({ rows }) => void rows.inject({ kind: "drop-reply" }),
      "bus is a black hole": ({ bus }) => void bus.inject({ kind: "black-hole" }),
      async kill(seat, number) {
        const ended = once(seat.child, "exit")
        seat.child.kill("SIGKILL")
        await ended
        kills++
        // What it has sent has arrived by then.
        await sleep(300)
        seat.child = await start(seat, number)
      },
      async stop({ child }) {
        child.kill("SIGSTOP")
        await sleep(random() * 1.5 * BOUND_MS)
        child.kill("SIGCONT")
        stops++
      },
    }
    const lives = () => seats.flatMap(({ lives }) => lives)
    const written = () =>
      lives().reduce((sum, { seen }) => sum + seen.filter(({ kind }) => kind === "written").length, 0)
    const names = Object.keys(FAULTS)
    for (let turn = 0; turn < names.length || written() < WRITES; turn++) {
      const number = Math.floor(random() * PROCESSES)
      const seat = seats[number]
      // Each fault once, then any of them, but few kills: a process takes a while to start.
      const any = names[Math.floor(random() * names.length)]
      const name = turn < names.length ? names[turn] : any === "kill" && random() < 0.8 ? "stop" : any
      if (seat === undefined || name === undefined) throw new Error("there are seats and faults")
      await FAULTS[name]?.(seat, number)
      await sleep(50 + random() * 150)
    }
    for (const { rows, bus } of seats) for (const proxy of [rows, bus]) proxy.clear()
    await Promise.all(seats.map(({ child }) => ended(child)))

    const histories = lives().map(({ seen }) => seen)
    const { violations, ...figures } = judge(histories, BOUND_MS)
    const l1 = lives().flatMap(({ stats }) => stats?.l1 ?? [])
    const hits = l1.reduce((sum, { hits }) => sum + hits, 0)
    const hitRatio = hits / (hits + l1.reduce((sum, { misses }) => sum + misses, 0))
    const bus = lives().flatMap(({ stats }) => stats?.bus ?? [])
    const suspects = bus.reduce((sum, { suspects }) => sum + suspects, 0)
    console.log(`seed ${SEED}:`, { ...figures, hitRatio, suspects, kills, stops })
    expect(violations.slice(0, 20)).toEqual([])
    expect(figures.covered).toBeGreaterThan(WRITES / 2)
    expect(hitRatio).toBeGreaterThan(0.4)
    expect(new Set(bus.map(({ stalenessBoundMs }) => stalenessBoundMs))).toEqual(new Set([BOUND_MS]))
    expect(await lostWrites(histories.flat())).toEqual([])
  })

  async function takeSeat(number: number): Promise<Seat> {
    const proxies = await Promise.all([faultProxy(server.port, "chunks"), faultProxy(server.port, "chunks")])
    onTestFinished(async () => void (await Promise.all(proxies.map((proxy) => proxy.close()))))
    const [rows, bus] = proxies
    const seat: Omit<Seat, "child"> = { rows, bus, lives: [] }
    const child = await start(seat, number)
    const whole = Object.assign(seat, { child })
    onTestFinished(() => void whole.child.kill("SIGKILL"))
    return whole
  }

  /** Starts a process in a seat, which goes on with the keys of the one before. */
  async function start(seat: Omit<Seat, "child">, number: number): Promise<ChildProcess> {
    const life: Life = { seen: [] }
    const firstSequence = seat.lives.push(life) * 1e9
    const settings = {
      backend: `redis://127.0.0.1:${seat.rows.port}?prefix=fleet:`,
      bus: `redis://127.0.0.1:${seat.bus.port}`,
      own: KEYS.filter((_, index) => index % PROCESSES === number),
      keys: KEYS,
      firstSequence,
      times: TIMES,
      readsATurn: 200,
    }
    const child = fork(join(built.folder, "fleet-process.mjs"), [JSON.stringify(settings)], {
      env: { ...process.env, NODE_NO_WARNINGS: "1", NODE_ENV: "production" },
    })
    child.on("message", ({ report, stats }: { report: Seen[]; stats: KvStats }) => {
      life.seen.push(...report)
      life.stats = stats
    })
    await once(child, "message")
    return child
  }

  async function ended(child: ChildProcess): Promise<void> {
    const exit = once(child, "exit")
    child.send("stop")
    await exit
  }

  /** Keys that hold an older value than the newest that was acknowledged. */
  async function lostWrites(seen: readonly Seen[]): Promise<string[]> {
    const newest = new Map<string, number>()
    for (const one of seen) {
      if (one.kind === "written") newest.set(one.key, Math.max(one.sequence, newest.get(one.key) ?? 0))
    }
    const { kv } = await import("../../../src/index.ts")
    const store = await kv("fleet", { backend: `${server.url}?prefix=fleet:`, l1: false })
    try {
      const rows = await store.getManyText([...newest.keys()])
      return [...newest].filter(([key, sequence]) => Number(rows.get(key)) < sequence).map(([key]) => key)
    } finally {
      await store.close()
    }
  }
})

/** A generator of numbers in [0, 1) that a seed repeats. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
