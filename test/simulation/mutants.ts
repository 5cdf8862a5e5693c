import type { StepCall } from "./calls.ts"
import type { WriteFault } from "./faults.ts"
import type { AnchorName } from "./places.ts"
import { RESILIENCE_MUTANTS } from "./resilience-mutants.ts"

/** A known error, as edits of the code. */
export interface Mutant {
  /** What stands at the anchors instead: nothing, or code in which each `$name` is what it stands for at the anchor. */
  readonly edits: Readonly<Partial<Record<AnchorName, string>>>
  /** The kinds of call whose races show it; or what else shows it: reads that lag, an outage, many pages. */
  readonly caughtBy: readonly StepCall[] | "lag" | "outage" | "pages"
  /** Whether each process has a second store over the same rows. @default false */
  readonly siblings?: true
  /** Whether the table has replicas that lag. @default false */
  readonly lags?: true
  /** Whether the races are over a network. @default false */
  readonly networked?: true
  /** The faults of the first few writes of those races. @default anything */
  readonly fault?: WriteFault | readonly WriteFault[]
  /** The seed of those races, if the one that most mutants share takes thousands of runs. */
  readonly seed?: number
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  "fill without the dirty check": {
    caughtBy: ["get", "set"],
    edits: { flightLands: "" },
  },
  "later readers join a flight older than the write": {
    caughtBy: ["get", "set"],
    edits: { flightIsDirtied: "" },
  },
  "a read that was overtaken fills what is older": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    fault: "pass",
    edits: { overtakenLands: "false &&" },
  },
  "a read that was overtaken is out of reach of later writes": {
    caughtBy: ["get", "getStrong", "set"],
    fault: "pass",
    seed: 7,
    edits: { overtakenIsDirtied: "[this.#joinable]" },
  },
  "a read that was overtaken fills over a later one": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    fault: "pass",
    edits: { overtakenIsShownOther: "if (false)" },
  },
  "clear that leaves reads that were overtaken able to fill": {
    caughtBy: ["get", "getStrong", "writeElsewhere", "invalidateAll"],
    fault: "pass",
    seed: 7,
    edits: { clearDirtiesTheOvertaken: "[this.#joinable]" },
  },
  "no dirtying at the beginning of a write": {
    caughtBy: ["get", "set"],
    edits: { writeBeginsByDirtying: "" },
  },
  "no dirtying at the end of a write": {
    caughtBy: ["get", "set"],
    seed: 32,
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
    caughtBy: ["get", "get", "set", "wait"],
    fault: ["landLate"],
    seed: 21,
    edits: { quarantineEnds: "() => {}" },
  },
  "a failed read that leaves its flight behind": {
    caughtBy: ["get"],
    edits: { flightFails: "this.#inFlight.end()\n$reads.failed(" },
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
    seed: 36,
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
    seed: 7,
    edits: { flightShows: "" },
  },
  "a store tells the others of its process nothing": {
    caughtBy: ["get", "set"],
    siblings: true,
    edits: { othersAreTold: 'const $whole = ""' },
  },
  "a store tells the others of its process nothing of its answers": {
    caughtBy: ["get", "writeElsewhere"],
    siblings: true,
    edits: { othersAreToldOfAnswers: "" },
  },
  "clearing a store leaves the others of its process as they are": {
    caughtBy: ["get", "invalidateAll", "writeElsewhere"],
    siblings: true,
    edits: { othersAreCleared: "if (false)" },
  },
  "a store that closes ends the quarantines of the others of its process": {
    caughtBy: ["get", "set", "close"],
    siblings: true,
    fault: ["landLate"],
    edits: { lastEndsQuarantines: "" },
  },
  "fill below the floor": {
    caughtBy: "lag",
    edits: { fillIsHeldToTheFloor: "" },
  },
  "an eviction at an await changes what is answered": {
    caughtBy: ["get", "set"],
    edits: { flightFills: "{\n$fill($key, $entry, $askedAt)\nreturn this.#l1.get($key)\n}" },
  },
  "the end of a flight forgets a later one": {
    caughtBy: ["get", "invalidate", "writeElsewhere"],
    seed: 7,
    edits: { flightEnds: "this.#joinable.delete($key)" },
  },
  "an answer that has expired on its way is returned": {
    caughtBy: ["get", "set", "wait"],
    edits: { answerMayHaveExpired: "false" },
  },
  "the time to live of what a page fills begins with the answer": {
    caughtBy: ["scanFill", "writeElsewhere", "wait"],
    edits: { pageFills: "this.#options.fill($key, $reads.toEntry($stored))" },
  },
  "pages are kept after their end": {
    caughtBy: "pages",
    edits: { pageEnds: "" },
  },
  "a load can be joined after its key was invalidated": {
    caughtBy: ["getOrSet", "invalidate"],
    edits: { dirtyingDirtiesTheLoad: "" },
  },
  "a load can be joined after everything was invalidated": {
    caughtBy: ["getOrSet", "invalidateAll"],
    edits: { clearDirtiesTheLoads: "" },
  },
  "refreshes pile up": {
    caughtBy: ["getOrSetAhead", "wait"],
    fault: "pass",
    edits: { refreshIsOne: "if (!this.#backoff.isDue($key)) return" },
  },
  "a strong getOrSet joins a read under way": {
    caughtBy: ["get", "getOrSetStrong", "writeElsewhere"],
    edits: { strongLoadAsks: "? $tiers.read($key, true, $caller)" },
  },
  "a strong getOrSet is answered by L1": {
    caughtBy: ["get", "getOrSetStrong", "writeElsewhere"],
    edits: { strongLoadPassesL1: "const $slot = $l1.find($key)" },
  },
  "the floors of versions outlive the life of the backend": {
    caughtBy: ["get", "set", "restart"],
    fault: "pass",
    edits: { floorsAreDropped: "undefined" },
  },
  "a hit trusts a reading of the clock for as long as a turn lasts": {
    caughtBy: ["get", "set", "freeze"],
    fault: "pass",
    edits: { lookUpGlances: "" },
  },
  "L1 keeps what has expired by a step of the wall clock": {
    caughtBy: ["get", "set", "stepClock", "freeze"],
    fault: "pass",
    edits: { stepForwardIsReported: "undefined" },
  },
  "L1 lives longer by a step of the wall clock back": {
    caughtBy: ["get", "set", "stepClock", "wait"],
    fault: "pass",
    seed: 7,
    edits: { l1LimitsTheDeadline: ", Number.POSITIVE_INFINITY)" },
  },
  "an answer that has expired by the clock of its process, which is ahead, is returned": {
    caughtBy: ["get", "writeElsewhere"],
    networked: true,
    fault: "pass",
    edits: { answerMayHaveExpired: "false" },
  },

  "a replica answers behind what this process has seen": {
    caughtBy: ["get", "set"],
    lags: true,
    edits: { laggingReadIsHeld: "" },
  },
  "a replica answers behind what this process wrote": {
    caughtBy: ["get", "set"],
    lags: true,
    edits: { dirtyingIsSeen: "" },
  },
  "a replica answers behind what this process read": {
    caughtBy: ["get", "invalidate", "writeElsewhere"],
    lags: true,
    seed: 18,
    edits: { flightIsSeen: "" },
  },
  "a replica answers behind a strong read": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    lags: true,
    seed: 8,
    edits: { answerIsSeen: "" },
  },
  "a replica answers behind what was read before everything was invalidated": {
    caughtBy: ["get", "invalidateAll", "writeElsewhere"],
    lags: true,
    seed: 1,
    edits: { clearIsSeen: "" },
  },

  ...RESILIENCE_MUTANTS,
}
