import type { Anchor } from "./anchors.ts"

/** The places that mutants change, each once, so that only this table changes when the code moves. */
export const ANCHORS = {
  flightLands: ["TwoTier.#fly", "$flight.dirty ||"],
  overtakenLands: ["TwoTier.#fly", "$flight.shown !== undefined &&"],
  flightFails: ["TwoTier.#fly", "$land() $reads.failed("],
  flightFills: ["TwoTier.#fly", "$fill($key, $entry, $askedAt)"],
  flightShows: ["TwoTier.#fly", "this.direct.shown($key, $entry)"],
  flightIsDirtied: ["Flights.dirty", "$flights.delete($key)"],
  overtakenIsDirtied: ["Flights.dirty", "[this.#joinable, this.#overtaken]"],
  overtakenIsShownOther: ["Flights.shown", "if ($overtaken !== undefined && $overtaken.shown !== $version)"],
  othersAreTold: ["Place.#others", "const $whole = this.prefix + $key"],
  othersAreToldOfAnswers: [
    "Place.tellOthers",
    "if (!this.#isAlone()) this.#others($key, ($member, $key) => $member.answered($key, $version))",
  ],
  othersAreCleared: ["Place.dirtyAll", "if ($place !== this && $overlaps)"],
  lastEndsQuarantines: ["Rows.retire", "if (this.places.size > 0) return"],
  fillIsHeldToTheFloor: [
    "TwoTier.#fill",
    "else if ($floors.isBelow($key, $version)) $counters.refusedFills++",
  ],
  strongReadAsks: ["DirectReads.readStrong", "const $stored = await $backend.get($key,"],
  existsJoins: ["DirectReads.exists", "$cached ? $flights.of($key) : undefined"],
  clearForgetsThePages: ["PageFills.dirtyAll", "this.#underWay.clear()"],
  pageChecksWhatIsDirty: ["PageFills.mayFill", "&& !$page.has($key)"],
  showingDrops: ["DirectReads.supersede", "if ($held !== undefined && $held !== $shown) $l1.drop($key)"],
  showingDirtiesTheFlight: ["DirectReads.supersede", "flights.shown($key, $shown)"],
  clearDirtiesTheFlights: ["Flights.dirtyAll", "$flight.dirty = true"],
  clearForgetsTheFlights: ["Flights.dirtyAll", "$flights.clear()"],
  clearDirtiesTheOvertaken: ["Flights.dirtyAll", "[this.#joinable, this.#overtaken]"],
  flightEnds: ["Flights.end", "if (this.#joinable.get($key) === $flight) this.#joinable.delete($key)"],
  answerMayHaveExpired: [
    "BackendReads.toEntry",
    "if ($expiresAt !== undefined && $expiresAt <= this.#runtime.now()) return undefined",
  ],
  pageFills: ["DirectReads.readPage", "this.#options.fill($key, $reads.toEntry($stored), $startedAt)"],
  pageEnds: ["PageFills.end", "this.#underWay.delete($page)"],

  writeBeginsToFence: ["WriteThrough.#begin", "$place.raise($key)"],
  writeBeginsByDirtying: ["WriteThrough.#begin", "$place.dirty($key, $own)"],
  writeEndsByDirtying: ["WriteThrough.#end", "$place.dirty($key, $own)"],
  writeEndsToFence: ["WriteThrough.#end", "$place.lower($key)"],
  unknownOutcomeQuarantines: ["WriteThrough.#settle", "if (!$known) $place.quarantine($key)"],
  lateWriteQuarantines: ["WriteThrough.#settle", "if ($outcome.mayLandLate) $place.quarantine($key)"],
  quarantineEnds: ["Place.quarantine", "() => $dirty($key)"],

  dirtyingDirtiesTheLoad: ["TwoTier.#dirty", "this.#loads.dirty($key, $own)"],
  clearDirtiesTheLoads: ["TwoTier.#letGo", "this.#loads.dirtyAll()"],
  refreshIsOne: ["Loads.refresh", "if (this.#joinable.has($key) || !this.#backoff.isDue($key)) return"],
  strongLoadAsks: ["getOrSet", "? $tiers.direct.readStrong($key, $caller)"],
  strongLoadPassesL1: ["getOrSet", "const $slot = $strong ? NONE : $l1.find($key)"],
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

  floorsAreDropped: ["VersionFloors.reached", "this.#newest.clear()"],
  lookUpGlances: ["L1.#startRound", "$clock.glance()"],
  stepForwardIsReported: ["CoarseClock.read", "this.#onStepForward()"],

  putTellsOfLandingLate: ["put", "...($mayLandLate ? { $mayLandLate } : {})"],
  settledMayLandLate: ["settle", "return { ...verdict, mayLandLate: true }"],
  sentAgainMayLandLate: ["settle", "return { ...result, mayLandLate: true }"],
  unknownIsThrown: ["settle", "throw $call.unsettled($why)"],
  attemptHasItsOwnId: ["newId", "const $id = writeId($runtime, true)"],
  putIsSentAgain: ["sendUnder", "{ ...$write, $condition, id: newId($ids) }"],
  olderIsProved: ["judge", "if (isOlder($head, $write)) return"],
  createIsNotSentAgain: ["judgeConditional", "const $gone = $head === undefined || !$head.live"],
  newerHadNoCondition: ["isNewer", "&& isUnconditional($id)"],
  retryIsCounted: ["RetryBudget.spend", "this.#retriesInWindow++"],
  failureLeavesItsPlace: ["Call.answered", "end() if (isThrottled($error))"],
} as const satisfies Readonly<Record<string, Anchor>>

export type AnchorName = keyof typeof ANCHORS
