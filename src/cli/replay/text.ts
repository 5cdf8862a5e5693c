import { formatBytes, formatCount, formatDuration, formatShare, NONE } from "../../../tiers/util/format.ts"
import type { LatencyStats } from "../../counters.ts"
import { renderTable } from "../table.ts"
import { type ReplayReport, ratioOf } from "./report.ts"

/** The report as text for people. */
export function renderReport(report: ReplayReport): string {
  return `${[renderLog(report), renderRun(report), renderTiers(report), renderSizes(report)].join("\n\n")}\n`
}

function renderLog({ log }: ReplayReport): string {
  const { accesses, reads, writes, deletes, distinctKeys, spanMs, badLines } = log
  const lines = [
    `${log.file}: ${formatCount(accesses)} accesses to ${formatCount(distinctKeys)} keys` +
      `${spanMs === undefined ? "" : ` over ${formatSpan(spanMs)}`}, format ${log.format}`,
  ]
  if (writes + deletes > 0) {
    const counts = [
      `${formatCount(reads)} reads`,
      `${formatCount(writes)} writes`,
      `${formatCount(deletes)} deletes`,
    ]
    lines.push(counts.join(", "))
  }
  if (log.interrupted) lines.push("stopped before the end of the log; what follows is of the accesses so far")
  if (log.hashedKeys > 0)
    lines.push(`keys not legal here, replaced by a hash: ${formatCount(log.hashedKeys)}`)
  if (log.cutValues > 0)
    lines.push(`values of more than 24 KiB, cut to 24 KiB: ${formatCount(log.cutValues)}`)
  if (badLines.count > 0) {
    lines.push(`lines that could not be read, left out: ${formatCount(badLines.count)}`)
    for (const { line, reason } of badLines.first) lines.push(`  line ${formatCount(line)}: ${reason}`)
    if (badLines.count > badLines.first.length) lines.push("  …")
  }
  return lines.join("\n")
}

function renderRun({ run }: ReplayReport): string {
  const lines = [
    `Replayed over ${run.backend.kind}, ${run.concurrency} at once, in ${formatDuration(run.elapsedMs)}: ` +
      `${formatCount(run.accessesPerSecond)} accesses a second`,
  ]
  for (const [code, count] of Object.entries(run.failures))
    lines.push(`accesses that failed with ${code}: ${formatCount(count)}`)
  return lines.join("\n")
}

function renderTiers({ l1, l2, saved, log }: ReplayReport): string {
  const tiers = renderTable(
    ["tier", "reads", "hits", "hit ratio", "p50", "p99"],
    [
      [
        "L1",
        formatCount(l1.reads),
        formatCount(l1.hits + l1.negativeHits),
        formatShare(l1.hits + l1.negativeHits, l1.reads),
        ...percentiles(l1.latency),
      ],
      [
        "L2",
        formatCount(l2.reads),
        formatCount(l2.hits),
        formatShare(l2.hits, l2.reads),
        ...percentiles(l2.readLatency),
      ],
    ],
  )
  const lines = [
    tiers,
    "",
    `backend reads saved  ${formatCount(saved.reads)} of ${formatCount(log.reads)} (${formatShare(saved.reads, log.reads)}): ` +
      `${formatCount(saved.byL1)} by L1, ${formatCount(saved.coalesced)} coalesced`,
    `held in L1           ${formatCount(l1.entries)} of ${formatCount(l1.maxEntries)} entries, ` +
      `${formatBytes(l1.bytes)} of ${formatBytes(l1.maxBytes)}`,
    `left L1              ${formatCount(l1.evictions.entries + l1.evictions.bytes)} evicted, ` +
      `${formatCount(l1.expirations)} expired, ${formatCount(l1.invalidations)} invalidated`,
  ]
  if (l1.negativeHits > 0) lines.push(`known to be absent   ${formatCount(l1.negativeHits)} of the hits`)
  if (log.writes + log.deletes > 0) {
    const [p50, p99] = percentiles(l2.writeLatency)
    lines.push(`writes and deletes   ${formatCount(log.writes + log.deletes)}, p50 ${p50}, p99 ${p99}`)
  }
  return lines.join("\n")
}

function percentiles(latency: LatencyStats): string[] {
  return latency.count === 0 ? [NONE, NONE] : [formatDuration(latency.p50Ms), formatDuration(latency.p99Ms)]
}

/** Rows of the table of sizes at most, beside the chosen size and the one without bound. */
const SIZES_SHOWN = 9

function renderSizes({ simulation, log, l1 }: ReplayReport): string {
  const bytesAnEntry = ratioOf(l1.bytes, l1.entries)
  const useful = simulation.sizes.filter(
    ({ maxEntries, chosen }) => chosen || (maxEntries ?? 0) < log.distinctKeys,
  )
  const bounded = useful.filter(({ maxEntries }) => maxEntries !== null)
  const from = Math.max(
    0,
    Math.min(
      bounded.findIndex(({ chosen }) => chosen) - Math.floor(SIZES_SHOWN / 2),
      bounded.length - SIZES_SHOWN,
    ),
  )
  const shown = [...bounded.slice(from, from + SIZES_SHOWN), ...simulation.sizes.slice(-1)]
  const rows = shown.map(({ maxEntries, hits, l2Reads, chosen }) => {
    const held = Math.min(maxEntries ?? log.distinctKeys, log.distinctKeys)
    return [
      `${maxEntries === null ? "unbounded" : formatCount(maxEntries)}${chosen ? " (this run)" : ""}`,
      formatShare(hits, hits + l2Reads),
      formatCount(l2Reads),
      bytesAnEntry === 0 ? NONE : formatBytes(held * bytesAnEntry),
    ]
  })
  const lines = [
    "Other sizes of L1, simulated: least recently used, bounded by entries",
    renderTable(["entries", "hit ratio", "L2 reads", "memory, about"], rows),
    simulation.expiry
      ? `Entries expire after ${formatDuration(l1.ttlMs ?? 0)} in L1 and with their own TTL, in the time of the log.`
      : "The log has no times, so nothing expires here, neither in the run nor in the simulation.",
  ]
  if (l1.negativeHits > 0) {
    const values = formatShare(l1.hits, log.reads)
    lines.push(
      `Known absences are not simulated: without its ${formatCount(l1.negativeHits)} the run had ${values}.`,
    )
  }
  if (l1.evictions.bytes > 0) {
    lines.push(
      `The run evicted ${formatCount(l1.evictions.bytes)} entries for want of bytes, which is not simulated; raise --l1-bytes.`,
    )
  }
  return lines.join("\n")
}

function formatSpan(ms: number): string {
  const units = [
    ["days", 86_400_000],
    ["hours", 3_600_000],
    ["minutes", 60_000],
    ["seconds", 1_000],
  ] as const
  const [name, length] = units.find(([, length]) => ms >= 2 * length) ?? units[3]
  return `${(ms / length).toFixed(1)} ${name}`
}
