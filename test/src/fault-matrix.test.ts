import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, expect, test, vi } from "vitest"
import { type Kv, KvError, kv } from "../../src/index.ts"
import { type FaultProxy, httpResponse } from "../servers/fault-proxy.ts"
import { requireServer } from "../servers/require-server.ts"
import { NETWORKED } from "../support/networked.ts"
import { testRuntime } from "../support/runtime.ts"

/** Calls under each fault. `npm run faults` makes 1,000, under one fault after the other; the short form is under several at once. */
const CALLS = Number(process.env.FAULT_CALLS ?? 100)
const IS_SHORT = process.env.FAULT_CALLS === undefined
const SEED = Number(process.env.FAULT_SEED ?? 1)
/** Longest time of a test, ms: some faults make most calls take all their time. */
const PATIENCE_MS = 180_000
/** Calls under way at once, each on a key of its own. */
const WORKERS = 50
const TIMEOUT_MS = 2_000
/** What a call may take beyond its time on a busy machine, ms; `npm run faults` says how long the longest took. */
const SLACK_MS = 1_500

type Chance = (share: number) => boolean
/** What befalls the requests; returns what ends it. */
type Fault = (proxy: FaultProxy, chance: Chance) => () => void

const rule =
  (fault: Parameters<FaultProxy["inject"]>[0], share: number): Fault =>
  (proxy, chance) => {
    const injected = proxy.inject({ ...fault, times: Number.POSITIVE_INFINITY, when: () => chance(share) })
    return () => injected.remove()
  }

const FAULTS: Readonly<Record<string, Fault>> = {
  none: () => () => {},
  "replies lost, 1 in 5": rule({ kind: "drop-reply" }, 0.2),
  "requests reset, 1 in 5": rule({ kind: "reset" }, 0.2),
  "replies late by 0.3 s, 1 in 5": rule({ kind: "delay-reply", delayMs: 300 }, 0.2),
  "requests stalled for 2 s, 1 in 20": rule({ kind: "stall", delayMs: 2_000 }, 0.05),
  "connections silent, 1 request in 20": rule({ kind: "black-hole" }, 0.05),
  "all connections cut every 0.1 s": (proxy) => {
    const timer = setInterval(() => proxy.cut(), 100)
    return () => clearInterval(timer)
  },
  "answered 500, 1 in 5": rule({ kind: "respond", response: httpResponse(500, {}, "") }, 0.2),
  "answered 503, 1 in 5": rule({ kind: "respond", response: httpResponse(503, {}, "") }, 0.2),
}

interface Row {
  calls: number
  failed: number
  unknown: number
  /** Acknowledged writes that are not there, and writes that failed for certain and are. */
  false: number
  /** Reads that found nothing where something is. */
  misses: number
  /** Writes of unknown outcome that were seen after a later write had been acknowledged. */
  late: number
  overdue: number
  longestMs: number
  requests: number
}

/** What is known of one key: the values that may be there, and those of abandoned writes that may come yet. `undefined`: none. */
class Known {
  possible = new Set<string | undefined>([undefined])
  readonly abandoned = new Set<string | undefined>()

  acknowledged(value: string | undefined, mayLandLate: boolean): void {
    this.possible = new Set([value])
    if (mayLandLate) this.abandoned.add(value)
  }

  unknown(value: string | undefined): void {
    this.possible.add(value)
    this.abandoned.add(value)
  }

  seen(value: string | undefined, row: Row): void {
    if (!this.possible.has(value)) {
      if (this.abandoned.has(value)) row.late++
      else if (value === undefined) row.misses++
      else row.false++
    }
    this.possible = new Set([value])
  }
}

/** Makes calls on one key, one after the other, each within `timeoutMs`. */
async function work(
  store: Kv,
  key: string,
  calls: number,
  timeoutMs: number,
  random: () => number,
  row: Row,
): Promise<Known> {
  const known = new Known()
  let version: string | undefined
  for (let turn = 0; turn < calls; turn++) {
    const value = `${key} ${turn}`
    const startedAt = performance.now()
    let written: string | undefined = value
    try {
      const choice = random()
      if (choice < 0.25) {
        const entry = await store.getEntry(key, { consistency: "strong" })
        version = entry?.version
        known.seen(entry && Buffer.from(entry.value).toString(), row)
      } else if (choice < 0.4) {
        written = undefined
        await store.delete(key)
        known.acknowledged(undefined, true)
      } else if (choice < 0.55) {
        const { applied, mayLandLate = false } = await store.put(key, value, { ifNotExists: true })
        if (applied) {
          if (!known.possible.has(undefined) && !known.abandoned.has(undefined)) row.false++
          known.acknowledged(value, mayLandLate)
        } else known.possible.delete(undefined)
      } else if (choice < 0.7 && version !== undefined) {
        const result = await store.put(key, value, { ifVersion: version })
        if (result.applied) {
          known.acknowledged(value, result.mayLandLate ?? false)
          version = result.version
        }
      } else {
        const result = await store.put(key, value)
        known.acknowledged(value, result.mayLandLate ?? false)
        version = result.version
      }
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      row.failed++
      if (error.code === "OUTCOME_UNKNOWN") {
        row.unknown++
        known.unknown(written)
      }
    }
    const tookMs = performance.now() - startedAt
    row.calls++
    row.longestMs = Math.max(row.longestMs, tookMs)
    if (tookMs > timeoutMs + SLACK_MS) row.overdue++
  }
  return known
}

const COLUMNS = [
  "calls",
  "failed",
  "unknown",
  "false",
  "misses",
  "late",
  "overdue",
  "longest",
  "requests a call",
]
const table = [["backend", "fault", ...COLUMNS], ["backend", "fault", ...COLUMNS].map(() => "---")]
afterAll(() => process.stdout.write(`${table.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n`))

for (const [kind, networked] of Object.entries(NETWORKED)) {
  await requireServer(kind, networked.start, ({ newProxy, direct }) => {
    const isHttp = kind === "dynamodb" || kind === "azure-tables"
    const faults = Object.entries(FAULTS).filter(([name]) => isHttp || !name.startsWith("answered"))

    const each = IS_SHORT ? test.concurrent.each(faults) : test.each(faults)
    each(
      "%s: no call is false, misses what is there or is overdue",
      async (name, fault) => {
        const { lane, url } = await newProxy()
        const { random } = testRuntime(0, SEED)
        const timeoutMs = name === "none" ? 60_000 : TIMEOUT_MS
        const store = await kv("matrix", { backend: url, l1: false, timeoutMs })
        const other = await kv("matrix", { backend: direct, l1: false, timeoutMs: 20_000 })
        // A server and a client are slow at first.
        for (let turn = 0; turn < 2; turn++) {
          await Promise.all(Array.from({ length: WORKERS }, (_, index) => other.put(`warm-up:${index}`, "")))
        }
        await vi.waitFor(() => store.put("warm-up", ""), { timeout: 20_000 })
        const row: Row = {
          calls: 0,
          failed: 0,
          unknown: 0,
          false: 0,
          misses: 0,
          late: 0,
          overdue: 0,
          longestMs: 0,
          requests: 0,
        }
        const before = lane.requests
        // On Redis many commands are one request to the proxy, so that there are few of them.
        const often = kind === "redis" ? 4 : 1
        const end = fault(lane, (share) => random() < often * share)
        const keys = Array.from(
          { length: WORKERS },
          (_, worker) => `${SEED}:${name.replaceAll(/\W/g, "")}:${worker}`,
        )
        const share = Math.ceil(CALLS / WORKERS)
        const known = await Promise.all(keys.map((key) => work(store, key, share, timeoutMs, random, row)))
        row.requests = lane.requests - before
        end()
        lane.clear()
        await sleep(TIMEOUT_MS)
        for (const [index, key] of keys.entries()) {
          known[index]?.seen(await other.getText(key, { consistency: "strong" }), row)
        }
        await Promise.all([store.close(), other.close()])
        await lane.close()

        const { calls, failed, unknown, misses, late, overdue, longestMs, requests } = row
        const counts = [calls, failed, unknown, row.false, misses, late, overdue]
        table.push([
          kind,
          name,
          ...counts.map(String),
          `${Math.round(longestMs)} ms`,
          (requests / calls).toFixed(2),
        ])
        expect({ false: row.false, misses, overdue }).toEqual({ false: 0, misses: 0, overdue: 0 })
        if (name === "none") expect({ failed, late }).toEqual({ failed: 0, late: 0 })
      },
      PATIENCE_MS,
    )
  })
}
