import { renderTable } from "../../src/cli/table.ts"
import type { LatencyStats, StoreStats } from "../../src/index.ts"
import { formatBytes, formatCount, formatDuration, formatShare, NONE } from "../../tiers/util/format.ts"
import type { Package } from "./documents.ts"
import type { Filled } from "./fill.ts"
import type { ReadTally } from "./readers.ts"

export interface Run {
  readonly title: string
  readonly tally: ReadTally
  readonly stats: StoreStats
}

export function renderPackages(packages: readonly Package[]): string {
  const rows = packages.map(({ name, version, documents }) => [
    name,
    version,
    formatCount(documents.length),
    formatBytes(documents.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)),
    formatBytes(Math.max(...documents.map(({ bytes }) => bytes.byteLength))),
  ])
  return `Documents: files of packages installed here\n${renderTable(["package", "version", "files", "bytes", "largest"], rows)}`
}

export function renderFilled({ accepted, refused, elapsedMs }: Filled): string {
  const bytes = accepted.reduce((sum, document) => sum + document.bytes.byteLength, 0)
  const lines = [
    `Stored ${formatCount(accepted.length)} of them in LMDB in ${formatDuration(elapsedMs)}: ${formatBytes(bytes)}.`,
  ]
  const [example] = refused
  if (example !== undefined) {
    lines.push(
      `Refused ${formatCount(refused.length)} with ${example.error.code}, ${example.document.key} for one:`,
      `  ${example.error.message}`,
    )
  }
  return lines.join("\n")
}

/** The runs side by side. */
export function renderRuns(runs: readonly Run[]): string {
  const row = (label: string, cell: (run: Run) => string) => [label, ...runs.map(cell)]
  return renderTable(
    ["", ...runs.map(({ title }) => title)],
    [
      row("reads", (run) => formatCount(readsOf(run))),
      row("  getText", ({ tally }) => formatCount(tally.text)),
      row("  get", ({ tally }) => formatCount(tally.bytes - tally.readThrough)),
      row("  getJson", ({ tally }) => formatCount(tally.json)),
      row("  getOrSet", ({ tally }) => formatCount(tally.readThrough)),
      row("reads a second", (run) => formatCount(readsOf(run) / (run.tally.elapsedMs / 1_000))),
      row("L1 hit ratio", ({ stats: { l1 } }) => {
        const hits = l1.hits + l1.negativeHits
        return l1.maxEntries === 0 ? NONE : formatShare(hits, hits + l1.misses)
      }),
      row("L2 hit ratio", ({ stats: { l2 } }) => formatShare(l2.hits, l2.hits + l2.misses)),
      row("L1 hit p50", ({ stats }) => percentile(stats.l1.latency, "p50Ms")),
      row("L1 hit p99", ({ stats }) => percentile(stats.l1.latency, "p99Ms")),
      row("L2 read p50", ({ stats }) => percentile(stats.l2.readLatency, "p50Ms")),
      row("L2 read p99", ({ stats }) => percentile(stats.l2.readLatency, "p99Ms")),
      row("L2 reads", ({ stats: { l2 } }) => formatCount(l2.hits + l2.misses)),
      row("L2 reads saved", (run) =>
        formatShare(readsOf(run) - run.stats.l2.hits - run.stats.l2.misses, readsOf(run)),
      ),
      row("reads coalesced", ({ stats }) => formatCount(stats.l2.coalesced)),
      row("loads", ({ stats }) => formatCount(stats.loader.loads)),
      row("loads coalesced", ({ stats }) => formatCount(stats.loader.coalesced)),
      row("entries in L1", ({ stats: { l1 } }) =>
        l1.entries === 0 ? NONE : `${formatCount(l1.entries)} of ${formatCount(l1.maxEntries)}`,
      ),
      row("bytes in L1", ({ stats: { l1 } }) =>
        l1.entries === 0 ? NONE : `${formatBytes(l1.bytes)} of ${formatBytes(l1.maxBytes)}`,
      ),
      row("evicted from L1", ({ stats: { l1 } }) => formatCount(l1.evictions.entries + l1.evictions.bytes)),
    ],
  )
}

function readsOf({ tally }: Run): number {
  return tally.bytes + tally.text + tally.json
}

function percentile(latency: LatencyStats, which: "p50Ms" | "p99Ms"): string {
  return latency.count === 0 ? NONE : formatDuration(latency[which])
}
