import { record } from "../../../src/counters.ts"
import {
  type AnsweringProcess,
  COUNTS,
  type ProcessReport,
  STEP_MS,
  STEPS,
  type StoreReport,
  TIMES,
  type Times,
} from "../report.ts"
import { type Numbers, recentOf, sum, totalsOf } from "./counters.ts"
import { Track } from "./track.ts"

/** One store of one process. The page adds up the stores of the same name. */
export interface Member {
  process: AnsweringProcess
  store: StoreReport
}

export interface Point {
  atMs: number
  /** Per second; absent if nothing is known of that time. */
  rates: Numbers | undefined
  /** Percentiles of the slowest member. */
  times: Times | undefined
}

/** The stores of one name. */
export interface StoreHistory {
  name: string
  /** Those in the last report; none if no process had the store open. */
  members: readonly Member[]
  /** Per second, in the last minute. */
  recent: Numbers
  /** Since each was opened. */
  totals: Numbers
  /** Percentiles of the last minute, of the slowest member. */
  times: Times
  /** The last 15 minutes, the oldest first. They are computed when they are asked for. */
  points(): readonly Point[]
}

interface Kept {
  name: string
  lastSeenMs: number
  /** By the process and its number of the store. */
  tracks: Map<string, Track>
}

/** How long a closed store is shown, ms. */
const CLOSED_SHOWN_MS = 300_000
/** The spans that the charts may have; they have the shortest that covers what is known. */
const SPANS_MS = [60_000, 120_000, 300_000, STEPS * STEP_MS]

/** Puts the reports of the processes together, by the names of the stores. */
export class History {
  readonly #kept = new Map<string, Kept>()
  #lastReportMs = Number.NEGATIVE_INFINITY

  /** How many points the next report has to have of each process. */
  stepsToAsk(nowMs: number): number {
    const steps = Math.ceil((nowMs - this.#lastReportMs) / STEP_MS) + 1
    return Math.min(STEPS, steps)
  }

  /** Adds a report that arrived at `atMs` on the page's monotonic clock. Returns the stores, ordered by name. */
  add(processes: readonly ProcessReport[], atMs: number): StoreHistory[] {
    this.#lastReportMs = atMs
    const members = new Map<string, Member[]>()
    for (const process of processes) {
      if ("failure" in process) continue
      for (const store of process.stores) {
        const track = this.#trackOf(store.name, `${process.id} ${store.points.of}`, atMs)
        track.add(process.step, store.points, atMs)
        members.set(store.name, [...(members.get(store.name) ?? []), { process, store }])
      }
    }
    for (const [name, { lastSeenMs }] of this.#kept) {
      if (lastSeenMs < atMs - CLOSED_SHOWN_MS) this.#kept.delete(name)
    }
    return [...this.#kept.values()]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((kept) => historyOf(kept, members.get(kept.name) ?? [], atMs))
  }

  /** The current span of the charts, ms. */
  get spanMs(): number {
    const tracks = [...this.#kept.values()].flatMap(({ tracks }) => [...tracks.values()])
    const knownMs = Math.max(0, ...tracks.map(({ known }) => known)) * STEP_MS
    return SPANS_MS.find((spanMs) => spanMs >= knownMs) ?? STEPS * STEP_MS
  }

  #trackOf(name: string, id: string, atMs: number): Track {
    const kept = this.#kept.get(name) ?? { name, lastSeenMs: atMs, tracks: new Map<string, Track>() }
    this.#kept.set(name, kept)
    kept.lastSeenMs = atMs
    const track = kept.tracks.get(id) ?? new Track()
    kept.tracks.set(id, track)
    return track
  }
}

function historyOf({ name, tracks }: Kept, members: readonly Member[], atMs: number): StoreHistory {
  let points: Point[] | undefined
  return {
    name,
    members,
    recent: sum(members.map(({ store }) => recentOf(store))),
    totals: sum(members.map(({ store }) => totalsOf(store))),
    times: slowest(members.map(({ store }) => store.recent.times)),
    points() {
      points ??= pointsOf([...tracks.values()], atMs)
      return points
    },
  }
}

function pointsOf(tracks: readonly Track[], atMs: number): Point[] {
  return Array.from({ length: STEPS }, (_, index) => {
    const back = STEPS - 1 - index
    const known = tracks.flatMap((track) => {
      const at = back - Math.floor((atMs - track.seenMs) / STEP_MS)
      return at >= 0 && at < track.known ? [{ track, back: at }] : []
    })
    return {
      atMs: atMs - back * STEP_MS,
      rates: known.length === 0 ? undefined : ratesAt(known),
      times: known.length === 0 ? undefined : slowest(known.map(timesAt)),
    }
  })
}

/** One point of a track. */
interface Place {
  track: Track
  back: number
}

function ratesAt(places: readonly Place[]): Numbers {
  return record(COUNTS, (path) => {
    const count = places.reduce((total, { track, back }) => total + (track.at(path, back) ?? 0), 0)
    return (count / STEP_MS) * 1_000
  })
}

function timesAt({ track, back }: Place): Times {
  return record(TIMES, (path) => {
    const p50Ms = track.at(`${path}.p50Ms`, back) ?? 0
    return { count: p50Ms > 0 ? 1 : 0, p50Ms, p99Ms: track.at(`${path}.p99Ms`, back) ?? 0 }
  })
}

function slowest(all: readonly Times[]): Times {
  return record(TIMES, (path) => ({
    count: all.reduce((total, times) => total + times[path].count, 0),
    p50Ms: Math.max(0, ...all.map((times) => times[path].p50Ms)),
    p99Ms: Math.max(0, ...all.map((times) => times[path].p99Ms)),
  }))
}

/** The point nearest to `atMs`. */
export function pointAt(store: StoreHistory, atMs: number): Point | undefined {
  return store.points().findLast((point) => point.atMs <= atMs + STEP_MS / 2)
}
