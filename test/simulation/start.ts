import type { Scheduler } from "fast-check"
import type { Kv, L1Options } from "../../src/api.ts"
import type { kv } from "../../src/index.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import type { Clocks } from "./clocks.ts"
import { Seen } from "./history.ts"
import { Link } from "./link.ts"
import type { Process, World } from "./process.ts"
import type { Setting } from "./setting.ts"

export const TIMEOUT_MS = 400
const SLOW_MS = 150
/** Fewer than 8, after which L1 glances at the clock. */
const LATE_ALLOWED = 7

export type Open = typeof kv

/** Starts a process and opens its stores: one, or two over the same rows. */
export async function start(
  open: Open,
  world: World,
  scheduler: Scheduler,
  setting: Setting,
  clocks: Clocks,
  index: number,
): Promise<Process[]> {
  const { table, quarantineMs, ttlMs } = world
  const { service, synchronous, maxConcurrency } = setting
  const l1 = setting.l1[index] ?? false
  const sibling = setting.sibling[index]
  const isSystem = setting.system && index === 0
  const link = new Link(table, {
    ...service,
    scheduler,
    faults: setting.faults[index] ?? { writes: [], reads: [] },
    synchronous,
    quarantineMs,
    requestTimeoutMs: TIMEOUT_MS,
    slowMs: SLOW_MS,
  })
  const openStore = (l1: L1Options | false): Promise<Kv> =>
    open("race", {
      backend: link.backend,
      runtime: isSystem ? systemRuntime : clocks.runtime,
      telemetry: false,
      quarantineMs,
      timeoutMs: TIMEOUT_MS,
      maxConcurrency,
      retryBudget: setting.retryBudget,
      l1: l1 === false ? false : { ttlMs, negativeTtlMs: ttlMs, jitter: 0.2, ...l1 },
    })
  const stalenessMs = (l1: L1Options | false) => Math.max(l1 === false ? 0 : ttlMs, service.lagMs)
  const seen = new Seen(table.history, clocks, stalenessMs(l1))
  const process: Process = {
    client: await openStore(l1),
    link,
    seen,
    clocks,
    isRoomy: isRoomy(l1),
    lateAllowed: isSystem ? LATE_ALLOWED : 0,
    deadlines: new Map(),
    loads: new Map(),
    ended: new Map(),
    loading: new Map(),
    closing: undefined,
  }
  link.onPut = (key, text) => {
    const since = process.loads.get(text)
    // A request that waits for its place is sent later than the load decided.
    if (since === undefined || since >= (process.ended.get(key) ?? 0) || maxConcurrency < 256) return
    table.ledger.breaks(
      undefined,
      `${key}=${text} was loaded, and is stored, though the key was written meanwhile`,
    )
  }
  link.onSettled = (key, index) => seen.raise(key, index)
  if (sibling === undefined) return [process]
  // What one of the two stores has shown or written binds both.
  const second: Process = {
    ...process,
    client: await openStore(sibling),
    seen: seen.beside(stalenessMs(sibling)),
    isRoomy: isRoomy(sibling),
    deadlines: new Map(),
  }
  return [process, second]
}

function isRoomy(l1: L1Options | false): boolean {
  return l1 !== false && l1.maxEntries === undefined && l1.maxBytes === undefined
}
