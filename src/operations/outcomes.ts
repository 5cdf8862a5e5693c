import type { L1Entry } from "../../tiers/l1/entry.ts"
import type { Outcome } from "../listener.ts"

/** The outcomes that are reported to a listener, by kind of operation. */

export function ofRead(entry: L1Entry | undefined): Outcome {
  if (entry === undefined) return { tier: "l2", result: "miss", hit: false }
  return { tier: "l2", result: "hit", hit: true, size: entry.bytes.length }
}

export function ofStrongRead(entry: L1Entry | undefined): Outcome {
  return { ...ofRead(entry), result: "bypass" }
}

export function ofExists(there: boolean): Outcome {
  return { tier: "l2", result: there ? "hit" : "miss", hit: there }
}

export function ofStrongExists(there: boolean): Outcome {
  return { tier: "l2", result: "bypass", hit: there }
}

export function ofWrite({ applied }: { applied: boolean }): Outcome {
  return { tier: "l2", applied }
}
