import type { Anchor } from "../anchors.ts"
import type { Setting } from "./setting.ts"

/** A known error of the protocol between processes: the code at an anchor, and what stands there instead. */
export interface FleetMutant {
  readonly at: Anchor
  readonly becomes: string
  /** What shows it soon. @default whatever a seed draws */
  readonly setting?: Partial<Setting>
}

const CALM = { crash: 0, stop: 0, close: 0, cut: 0, lag: 0, mute: 0 }
/** Rare writes, so that a lost message is not shown by the number of the next. */
const LOSSY: Partial<Setting> = { lossy: 0.2, faults: CALM, processes: 2, writes: 0.01, pauseMs: 40 }
const cut = { faults: { ...CALM, cut: 0.5 }, lossy: 0 }
const lag = { faults: { ...CALM, lag: 0.4 }, lossy: 0 }
const mute = { faults: { ...CALM, mute: 0.4 }, lossy: 0 }
const close = { ...LOSSY, faults: { ...CALM, close: 0.6 }, lossy: 0.4, writes: 0.1, pauseMs: 60, keys: 16 }
/** Keys that a process seldom reads, so that it reads none while the bus is silent. */
const RARE: Partial<Setting> = { lossy: 0, failing: 0, keys: 16, pauseMs: 60, writes: 0.1 }
/** Replies that are late, and gaps while they are. */
const SLOW: Partial<Setting> = { ...LOSSY, failing: 0.2, writes: 0.05, pauseMs: 20 }

export const FLEET_MUTANTS: Readonly<Record<string, FleetMutant>> = {
  "the loss of the last message goes unnoticed": {
    at: ["Lease.heard", "isLast ? $message.number : $message.number - 1"],
    becomes: "$message.number - 1",
    setting: LOSSY,
  },
  "a gap goes unnoticed": {
    at: ["Lease.heard", "$expected > $publisher.number ||"],
    becomes: "",
    setting: LOSSY,
  },
  "two messages share a number": {
    at: ["Publisher.#take", "number: ++this.#number, keys"],
    becomes: "number: this.#number, keys",
    setting: LOSSY,
  },
  "a farewell hides the loss of the message before it": {
    at: ["Lease.heard", '|| $message.kind === "farewell"'],
    becomes: "",
    setting: close,
  },
  "a publisher that falls silent is no gap": {
    at: ["Lease.#missSilent", "this.#onSuspect()"],
    becomes: "",
    setting: { ...mute, keys: 16 },
  },
  "a silent publisher is forgotten after one lease": {
    at: ["Lease.#missSilent", "if ($publisher.heardAt + 2 * this.#leaseMs > this.#confirmedAt) continue"],
    becomes: "",
    setting: { faults: { ...CALM, stop: 0.3, cut: 0.4 }, lossy: 0, failing: 0, pauseMs: 20 },
  },
  "a publisher that was not heard yet cannot have died": {
    at: [
      "Lease.subscribed",
      "this.#publishers.set($UNHEARD, { number: 0, completeAt: $now, heardAt: $now, beats: new Map() })",
    ],
    becomes: "",
    setting: { faults: { ...CALM, crash: 0.5, cut: 0.5 }, lossy: 0 },
  },
  "a loss of the connection makes nothing suspect": {
    at: ["Lease.subscribed", "this.#onSuspect()"],
    becomes: "",
    setting: { ...RARE, ...cut },
  },
  "a publisher that is met in the middle is no gap": {
    at: ["Lease.#meet", "if (!$isBeginning)"],
    becomes: "if (false)",
    setting: { faults: { ...CALM, mute: 0.4, stop: 0.3 }, lossy: 0.1 },
  },
  "a heartbeat vouches for the time of its arrival": {
    at: ["Lease.#beat", "beats.set($beat, this.#confirmedAt)"],
    becomes: "beats.set($beat, this.#now())",
    setting: { ...RARE, faults: { ...CALM, lag: 0.4, mute: 0.4 } },
  },
  "the time of a confirmation is that of its return": {
    at: ["Lease.returned", "Math.max(this.#confirmedAt, $sentAt)"],
    becomes: "this.#now()",
    setting: lag,
  },
  "the lease looks at no publisher": {
    at: ["Lease.until", "if ($publisher.completeAt < $completeAt)"],
    becomes: "if (false)",
  },
  "L1 answers however long the bus is silent": {
    at: ["Lease.until", "return $completeAt + this.#boundMs"],
    becomes: "return Number.POSITIVE_INFINITY",
    setting: cut,
  },
  "a read under way is not suspect": {
    at: ["L1.fill", "$askedAt > this.#suspectUntil ?"],
    becomes: "true ?",
    setting: SLOW,
  },
  "absent keys are not suspect": {
    at: ["L1.suspectAll", "this.#negatives.clear()"],
    becomes: "",
    setting: LOSSY,
  },
  "a message leaves the read under way as it is": {
    at: [
      "TwoTier.#member",
      "if (!$held || !$version || !$place.isAtLeast($held, $version)) this.#dirty($key)",
    ],
    becomes: "if (!$held || !$version || !$place.isAtLeast($held, $version)) this.#l1.drop($key)",
    setting: { faults: CALM, lossy: 0, failing: 0.1, isOrdered: false, fillOnWrite: false },
  },
  "a message of a key that L1 holds is ignored": {
    at: ["TwoTier.#member", "!$held || !$version || !$place.isAtLeast($held, $version)"],
    becomes: "!$held",
    setting: { faults: CALM, lossy: 0 },
  },
  "any version is as good as that of the message": {
    at: ["VersionFloors.isAtLeast", "(this.#compare !== undefined && this.#compare($version, $other) > 0)"],
    becomes: "true",
    setting: { faults: CALM, lossy: 0 },
  },
  "a delete is not announced": {
    at: ["WriteThrough.#settle", "else if ($applied) this.#announce?.($key, $version, 0)"],
    becomes: "else if ($version !== undefined) this.#announce?.($key, $version, 0)",
    setting: { faults: CALM, lossy: 0 },
  },
  "a quarantine stays in the process of the write": {
    at: ["WriteThrough.#quarantine", "this.#announce?.($key, $version, $place.quarantineMs)"],
    becomes: "this.#announce?.($key, $version, 0)",
    setting: { faults: CALM, lossy: 0, failing: 0.05 },
  },
  "a quarantine of another process is ignored": {
    at: ["Place.written", "if ($quarantineMs > 0)"],
    becomes: "if (false)",
    setting: { faults: CALM, lossy: 0, failing: 0.05 },
  },
  "a write of unknown outcome is not announced": {
    at: ["WriteThrough.#failed", "if (!$known) this.#quarantine($key)"],
    becomes: "if (!$known) this.#place.quarantine($key)",
    setting: { faults: CALM, lossy: 0, failing: 0.05 },
  },
  "L1 goes on after a silence with what a read found replaced meanwhile": {
    at: ["CachedReads.#shown", "if (this.#hasBus && $l1.versionOf($key) !== $version) $l1.drop($key)"],
    becomes: "",
    setting: {
      faults: { ...CALM, lag: 0.4 },
      lossy: 0.1,
      failing: 0.05,
      isNetworked: true,
      isOrdered: false,
      pauseMs: 5,
    },
  },
  "a suspect is confirmed whatever its version": {
    at: ["BackendReads.askAgain", "&& $head.version === $held.version"],
    becomes: "",
    setting: { ...LOSSY, isNetworked: true },
  },
}
