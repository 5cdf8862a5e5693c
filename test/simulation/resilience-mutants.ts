import type { Mutant } from "./mutants.ts"

/** The mutants of the resilience, and of what a write tells its caller. */
export const RESILIENCE_MUTANTS: Readonly<Record<string, Mutant>> = {
  "a put does not tell that it may land late": {
    caughtBy: ["set"],
    edits: { putTellsOfLandingLate: "...{}" },
  },
  "what was settled says nothing of landing late": {
    caughtBy: ["get", "set"],
    networked: true,
    edits: { settledMayLandLate: "return verdict" },
  },
  "what was sent again says nothing of landing late": {
    caughtBy: ["get", "set"],
    networked: true,
    edits: { sentAgainMayLandLate: "return result" },
  },
  "an unknown outcome is answered as a condition that did not hold": {
    caughtBy: ["set", "swap"],
    networked: true,
    edits: { unknownIsThrown: "return { applied: false }" },
  },
  "an attempt has the identity of another": {
    caughtBy: ["set", "delete"],
    networked: true,
    edits: {
      attemptHasItsOwnId: "const [other] = ids\nconst $id = other ?? writeId($runtime, true)",
    },
  },
  "a put is sent again without a condition": {
    caughtBy: ["get", "set", "writeElsewhere"],
    networked: true,
    edits: { putIsSentAgain: "{ ...$write, id: newId($ids) }" },
  },
  "a row is overwritten without proof that it is older": {
    caughtBy: ["set", "writeElsewhere"],
    networked: true,
    edits: { olderIsProved: "if (true) return" },
  },
  "a create is sent again": {
    caughtBy: ["create", "delete", "deleteElsewhere"],
    networked: true,
    edits: {
      createIsNotSentAgain:
        "const $gone = $head === undefined || !$head.live\nif ($gone) return { sendUnder: condition }",
    },
  },
  "a write under a condition counts as one that overtook": {
    caughtBy: ["set", "swap"],
    networked: true,
    seed: 39,
    edits: { newerHadNoCondition: "" },
  },
  "retries are not counted": {
    caughtBy: "outage",
    edits: { retryIsCounted: "" },
  },
  "a request that fails keeps its place": {
    caughtBy: ["get", "set"],
    networked: true,
    edits: { failureLeavesItsPlace: "if (isThrottled($error))" },
  },
}
