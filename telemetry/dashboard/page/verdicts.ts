import { formatAge, formatDuration, formatRate, formatShare } from "../../../tiers/util/format.ts"
import type { Member, StoreHistory } from "./history.ts"
import { l1Answered, l1Asked, l2Asked, reads, requests } from "./measures.ts"

/** How much a state is worth looking at; the order of the table. */
export const LEVELS = ["failing", "warning", "ok", "idle", "closed"] as const

export interface Verdict {
  level: (typeof LEVELS)[number]
  /** The state in a word or two. */
  word: string
  /** What it follows from. */
  why: string
}

/** p99 of the backend from which it counts as slow, ms: that of the alert `TieredKvBackendSlow`. */
const SLOW_MS = 250
/** p99 of all reads from which they count as slow, ms. */
const SLOW_READS_MS = 50
/** L1 counts as full from this share of its entries or bytes on. */
const FULL = 0.95
/** Evictions a read from which L1 counts as too small, if twice the room would answer so many more of the reads. */
const MANY_EVICTIONS = 0.1
const WORTHWHILE = 0.03
/** A store fails for so long after its last error, ms. */
const FAILING_MS = 60_000

/** Are my reads fast? */
export function speedOf({ times, recent }: StoreHistory): Verdict {
  const { reads: all, "l2.readLatency": l2 } = times
  if (reads(recent) === 0) return { level: "idle", word: "No reads", why: "Nobody read in the last minute." }
  const share = formatShare(l1Answered(recent), reads(recent))
  const byTier =
    l2.count === 0 ? "All of L1." : `${share} of them by L1; p99 of L2 ${formatDuration(l2.p99Ms)}.`
  if (l2.p99Ms > SLOW_MS) {
    return {
      level: "warning",
      word: "L2 is slow",
      why: `p99 of L2 is ${formatDuration(l2.p99Ms)}, over ${SLOW_MS} ms.`,
    }
  }
  if (all.p99Ms > SLOW_READS_MS) return { level: "warning", word: "Slow", why: byTier }
  return { level: "ok", word: "Fast", why: byTier }
}

/** Is L1 the right size? */
export function roomOf({ members, recent }: StoreHistory): Verdict {
  const sum = (of: (l1: Member["store"]["l1"]) => number) =>
    members.reduce((total, { store }) => total + of(store.l1), 0)
  const limit = sum((l1) => l1.maxEntries)
  if (limit === 0) return { level: "idle", word: "L1 is off", why: "Every read asks the backend." }
  const used = Math.max(sum((l1) => l1.entries) / limit, sum((l1) => l1.bytes) / sum((l1) => l1.maxBytes))
  if (used < FULL) {
    return { level: "ok", word: "Room to spare", why: `${formatShare(used, 1)} full, so nothing is evicted.` }
  }
  const asked = l1Asked(recent)
  if (asked === 0) return { level: "ok", word: "Full", why: "Full; nobody read in the last minute." }
  const evicted = (recent["l1.evictions.entries"] + recent["l1.evictions.bytes"]) / asked
  const doubled = l1Answered(recent) + Math.min(recent["l1.doubledHits"], recent["l1.misses"])
  const gain = (doubled - l1Answered(recent)) / asked
  const why = `Full, evicts ${evicted < 0.005 ? "hardly any" : evicted.toFixed(2)} a read. Twice the room would answer ${formatShare(doubled, asked)} instead of ${formatShare(l1Answered(recent), asked)}.`
  if (evicted > MANY_EVICTIONS && gain > WORTHWHILE) return { level: "warning", word: "Too small", why }
  return { level: "ok", word: "Large enough", why }
}

/** The failures whose last one was less than a minute ago, the most frequent first. */
export function currentErrors({ members }: StoreHistory) {
  const all = members.flatMap(({ process, store }) =>
    store.errors.flatMap((error) => {
      const isCurrent = process.at - error.lastAt < FAILING_MS
      return isCurrent ? [{ ...error, forMs: process.at - error.sinceAt }] : []
    }),
  )
  return all.sort((a, b) => b.count - a.count)
}

/** Is the backend well? */
export function healthOf(store: StoreHistory): Verdict {
  const { recent } = store
  const current = currentErrors(store)
  for (const tier of ["l2", "loader"] as const) {
    const ofTier = current.filter((error) => error.tier === tier)
    const [first] = ofTier
    if (first === undefined) continue
    const longest = ofTier.reduce((one, other) => (other.forMs > one.forMs ? other : one), first)
    const types = [...new Set(ofTier.map(({ type }) => type))]
    const since = `since ${clock(longest.sinceAt)}, for ${formatAge(longest.forMs)}`
    if (tier === "loader") {
      return { level: "warning", word: "Loads fail", why: `${types.join(", ")} ${since}.` }
    }
    const failed = recent["l2.readErrors"] + recent["l2.writeErrors"]
    const share = `${formatShare(failed, l2Asked(recent))} of ${formatRate(l2Asked(recent))} /s fail`
    return {
      level: "failing",
      word: types.join(", "),
      why: `${failed > 0 ? share : "Calls fail"}, ${since}.`,
    }
  }
  if (recent["l2.throttles"] > 0) {
    return {
      level: "warning",
      word: "Throttled",
      why: `${formatRate(recent["l2.throttles"])} requests a second are throttled; retries answer them.`,
    }
  }
  if (l2Asked(recent) === 0)
    return { level: "idle", word: "Not asked", why: "Nothing asked it in the last minute." }
  return {
    level: "ok",
    word: "Well",
    why: `No error in the last minute, at ${formatRate(l2Asked(recent))} keys a second.`,
  }
}

/** The worst of the three, for the table. */
export function stateOf(store: StoreHistory): Verdict {
  if (store.members.length === 0) {
    return { level: "closed", word: "Closed", why: "Not open in any process that answers." }
  }
  const verdicts = [healthOf(store), speedOf(store), roomOf(store)]
  for (const level of ["failing", "warning"] as const) {
    const found = verdicts.find((verdict) => verdict.level === level)
    if (found !== undefined) return found
  }
  if (requests(store.totals) === 0) return { level: "idle", word: "No requests yet", why: "" }
  if (requests(store.recent) === 0)
    return { level: "idle", word: "Idle", why: "No request in the last minute." }
  return { level: "ok", word: "Well", why: "" }
}

function clock(at: number): string {
  return new Date(at).toLocaleTimeString(undefined, { hourCycle: "h23" })
}
