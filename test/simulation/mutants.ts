import type { Anchor } from "./anchors.ts"
import type { StepCall } from "./calls.ts"
import type { WriteFault } from "./table.ts"

/** The places that mutants change, each once, so that only this table changes when the code moves. */
export const ANCHORS = {
  flightLands: ["TwoTier.#fly", "if ($flight.dirty) {"],
  flightFails: ["TwoTier.#fly", "$land() $reads.failed()"],
  flightFills: ["TwoTier.#fly", "$fill($key, $entry, $askedAt)"],
  flightShows: ["TwoTier.#fly", "this.direct.shown($key, $entry)"],
  flightIsDirtied: ["Flights.dirty", "this.#joinable.delete($key)"],
  fillIsHeldToTheFloor: [
    "TwoTier.#fill",
    "else if ($floors.isBelow($key, $version)) $counters.refusedFills++",
  ],
  strongReadAsks: ["DirectReads.readStrong", "const $stored = await $backend.get($key,"],
  existsJoins: ["DirectReads.exists", "$cached ? $flights.of($key) : undefined"],
  clearForgetsThePages: ["PageFills.dirtyAll", "this.#underWay.clear()"],
  pageChecksWhatIsDirty: ["PageFills.mayFill", "&& !$page.has($key)"],
  showingDrops: ["DirectReads.#supersede", "if ($held !== undefined && $held !== $version) $l1.drop($key)"],
  showingDirtiesTheFlight: ["DirectReads.#supersede", "flights.dirty($key)"],
  clearDirtiesTheFlights: ["Flights.dirtyAll", "$flight.dirty = true"],
  clearForgetsTheFlights: ["Flights.dirtyAll", "this.#joinable.clear()"],

  writeBeginsToFence: ["WriteThrough.#begin", "$barriers.raise($key)"],
  writeBeginsByDirtying: ["WriteThrough.#begin", "$dirty($key, $own)"],
  writeEndsByDirtying: ["WriteThrough.#end", "$dirty($key, $own)"],
  writeEndsToFence: ["WriteThrough.#end", "$barriers.lower($key)"],
  unknownOutcomeQuarantines: ["WriteThrough.#settle", "if (!$known) $quarantine($key)"],
  lateWriteQuarantines: ["WriteThrough.#settle", "if ($outcome.mayLandLate) $quarantine($key)"],
  quarantineEnds: ["WriteThrough.#quarantine", "() => $dirty($key)"],

  loadIsDirtied: ["Loads.dirty", "$joinable.delete($key)"],
  loadEnds: ["Loads.#run", "if ($joinable.get($key) === $load) $joinable.delete($key)"],
  loadIsAbandoned: ["Loads.#wait", "$load.controller.abort("],
  abandonedLoadIsNotStored: [
    "Loads.#loadAndStore",
    "if ($value === undefined || $abandoned) return undefined",
  ],
  loadIsStored: [
    "Loads.#store",
    "if (!$load.dirty && (await $store($key, { ...$write, $condition }, $load)).applied) return undefined",
  ],

  l1ForgetsAbsence: ["L1.drop", "if (this.#negatives.remove($key)) this.#invalidations++"],
  l1LimitsTheDeadline: ["L1.fill", ", $runtime.monotonic() + $left)"],
  l1ChecksTheExpiry: ["L1.#isExpired", "$expiresAt <= $clock.wall"],
} as const satisfies Readonly<Record<string, Anchor>>

type AnchorName = keyof typeof ANCHORS

/** A known error in coherence, as edits of the code. */
export interface Mutant {
  /** What stands at the anchors instead: nothing, or code in which each `$name` is what it stands for at the anchor. */
  readonly edits: Readonly<Partial<Record<AnchorName, string>>>
  /** The kinds of call whose races show it; `lag` for reads that lag. */
  readonly caughtBy: readonly StepCall[] | "lag"
  /** The faults of the first few writes of those races. @default anything */
  readonly fault?: WriteFault
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  "fill without the dirty check": {
    caughtBy: ["get", "set"],
    edits: { flightLands: "if (false) {" },
  },
  "later readers join a flight older than the write": {
    caughtBy: ["get", "set"],
    edits: { flightIsDirtied: "" },
  },
  "no dirtying at the beginning of a write": {
    caughtBy: ["get", "set"],
    edits: { writeBeginsByDirtying: "" },
  },
  "no dirtying at the end of a write": {
    caughtBy: ["get", "set"],
    edits: { writeEndsByDirtying: "" },
  },
  "fill while a write is in flight": {
    caughtBy: ["get", "set"],
    edits: { writeBeginsToFence: "", writeEndsToFence: "" },
  },
  "clear that leaves flights able to fill": {
    caughtBy: ["get", "writeElsewhere", "invalidateAll"],
    edits: { clearDirtiesTheFlights: "" },
  },
  "clear that later readers' flights survive": {
    caughtBy: ["get", "writeElsewhere", "invalidateAll"],
    edits: { clearForgetsTheFlights: "" },
  },
  "clear that leaves pages able to fill": {
    caughtBy: ["scanFill", "writeElsewhere", "invalidateAll"],
    edits: { clearForgetsThePages: "" },
  },
  "no quarantine after an unknown outcome": {
    caughtBy: ["get", "set"],
    edits: { unknownOutcomeQuarantines: "" },
  },
  "no quarantine of a write that may land once more": {
    caughtBy: ["get", "set"],
    edits: { lateWriteQuarantines: "" },
  },
  "a quarantine that ends without dirtying": {
    caughtBy: ["get", "set", "wait"],
    fault: "landLate",
    edits: { quarantineEnds: "() => {}" },
  },
  "a failed read that leaves its flight behind": {
    caughtBy: ["get"],
    edits: { flightFails: "this.#inFlight.end()\n$reads.failed()" },
  },
  "a failed load that leaves its reservation behind": {
    caughtBy: ["getOrSet"],
    edits: {
      loadEnds: "",
      loadIsStored:
        "if (!$load.dirty && (await $store($key, { ...$write, $condition }, $load)).applied) {\nthis.#joinable.delete($key)\nreturn undefined\n}",
    },
  },
  "a load that a write has overtaken is stored": {
    caughtBy: ["getOrSet", "set", "delete"],
    edits: {
      loadIsStored: "if ((await $store($key, { ...$write, $condition }, $load)).applied) return undefined",
    },
  },
  "a load is stored over a newer value": {
    caughtBy: ["getOrSet", "set", "delete"],
    edits: { loadIsStored: "if ((await $store($key, { ...$write }, $load)).applied) return undefined" },
  },
  "a load that a write has overtaken is still joined": {
    caughtBy: ["getOrSet", "delete"],
    edits: { loadIsDirtied: "" },
  },
  "a load that nobody waits for is out of reach of later writes, and stored": {
    caughtBy: ["getOrSet", "delete"],
    edits: {
      loadIsAbandoned: "this.#joinable.clear()\n$load.controller.abort(",
      abandonedLoadIsNotStored: "if ($value === undefined) return undefined",
    },
  },
  "a negative entry survives a create": {
    caughtBy: ["get", "create"],
    edits: { l1ForgetsAbsence: "" },
  },
  "L1 outlives the expiry in L2": {
    caughtBy: ["get", "set", "wait"],
    edits: {
      l1LimitsTheDeadline: ", Number.POSITIVE_INFINITY)",
      l1ChecksTheExpiry: "false",
    },
  },
  "the time to live of L1 begins with the answer": {
    caughtBy: ["get", "writeElsewhere", "wait"],
    edits: { flightFills: "$fill($key, $entry)" },
  },
  "a strong read joins a read under way": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    edits: {
      strongReadAsks:
        "const joined = this.#options.flights.of($key)\nif (joined !== undefined) return await joined.promise\nconst $stored = await $backend.get($key,",
    },
  },
  "a strong exists joins a read under way": {
    caughtBy: ["get", "existsStrong", "writeElsewhere"],
    edits: { existsJoins: "$flights.of($key)" },
  },
  "a strong read leaves in L1 what it found outdated": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    edits: { showingDrops: "" },
  },
  "reads under way fill over what a strong read or a page showed": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    edits: { showingDirtiesTheFlight: "" },
  },
  "a page fills over what was written or read meanwhile": {
    caughtBy: ["get", "scanFill", "writeElsewhere"],
    edits: { pageChecksWhatIsDirty: "" },
  },
  "L1 falls behind what a read showed that could not fill": {
    caughtBy: ["get", "invalidate", "writeElsewhere"],
    edits: { flightShows: "" },
  },
  "fill below the floor": {
    caughtBy: "lag",
    edits: { fillIsHeldToTheFloor: "" },
  },
  "an eviction at an await changes what is answered": {
    caughtBy: ["get", "set"],
    edits: { flightFills: "{\n$fill($key, $entry, $askedAt)\nreturn this.#l1.get($key)\n}" },
  },
}
