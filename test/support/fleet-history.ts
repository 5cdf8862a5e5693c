/** What one process of a fleet has seen. Times are of the monotonic clock of the machine, ms. */
export type Seen =
  /** A write that was acknowledged at `at`. */
  | { kind: "written"; key: string; sequence: number; at: number; covered: boolean }
  /** A read from `at` to `end` that found `sequence`: 0 if it found nothing. */
  | { kind: "read"; key: string; sequence: number; at: number; end: number }

export interface Verdict {
  /** Reads that are older than the bound allows, and reads that go back behind an earlier one of the same process. */
  violations: string[]
  /** Acknowledged writes, and those of them that the bound covers. */
  writes: number
  covered: number
  /** Reads that found an older value than the newest acknowledged one. */
  staleReads: number
  /** How long the newest value that such a read had missed was acknowledged before the read began, of covered writes, ms. */
  oldestMs: number
}

/**
 * Holds the history of each process against the bound. Each key has one writer at a time, whose sequence numbers rise; so what a read finds
 * must not be lower than what was acknowledged `boundMs` before the read began.
 */
export function judge(processes: readonly (readonly Seen[])[], boundMs: number): Verdict {
  const all = processes.flat().flatMap((seen) => (seen.kind === "written" ? seen : []))
  const covered = all.filter(({ covered }) => covered).sort((a, b) => a.at - b.at)
  const writes = new Map<string, { sequence: number; at: number }[]>()
  for (const write of covered) {
    const ofKey = writes.get(write.key)
    if (ofKey === undefined) writes.set(write.key, [write])
    else ofKey.push(write)
  }
  const verdict: Verdict = {
    violations: [],
    writes: all.length,
    covered: covered.length,
    staleReads: 0,
    oldestMs: 0,
  }
  for (const [number, history] of processes.entries()) {
    const highest = new Map<string, { sequence: number; end: number }>()
    for (const seen of history) {
      if (seen.kind !== "read") continue
      const { key, sequence, at, end } = seen
      const before = highest.get(key)
      if (before !== undefined && sequence < before.sequence && at >= before.end) {
        verdict.violations.push(`process ${number} read ${key} = ${sequence} after ${before.sequence}`)
      }
      if (before === undefined || sequence > before.sequence) highest.set(key, { sequence, end })
      const missed = firstMissed(writes.get(key) ?? [], sequence, at)
      if (missed === undefined) continue
      verdict.staleReads++
      const ageMs = at - missed.at
      verdict.oldestMs = Math.max(verdict.oldestMs, ageMs)
      if (ageMs > boundMs) {
        verdict.violations.push(
          `process ${number} read ${key} = ${sequence} at ${at}, ${ageMs} ms after ${missed.sequence} was acknowledged`,
        )
      }
    }
  }
  return verdict
}

/** The first write that was acknowledged before `at` and is newer than `sequence`. `writes` are in the order of both. */
function firstMissed(writes: readonly { sequence: number; at: number }[], sequence: number, at: number) {
  let from = 0
  let to = writes.length
  while (from < to) {
    const middle = (from + to) >> 1
    if ((writes[middle]?.sequence ?? 0) > sequence) to = middle
    else from = middle + 1
  }
  const first = writes[from]
  return first !== undefined && first.at <= at ? first : undefined
}
