/** Numbers as people read them, and plain-text tables: no colours, so that they can be pasted and diffed. */

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })

/** `1,234,567` */
export function formatCount(count: number): string {
  return grouped.format(count)
}

/** `98.7 %`; a ratio short of everything never reads as `100.0 %`. */
export function formatRatio(ratio: number): string {
  const percent = ratio * 100
  return `${ratio < 1 && percent >= 99.95 ? "99.9" : percent.toFixed(1)} %`
}

/** `part / whole` as a ratio, or a dash if there is no whole. */
export function formatShare(part: number, whole: number): string {
  return whole === 0 ? NONE : formatRatio(part / whole)
}

/** `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1e-3) return `${Math.round(ms * 1e6)} ns`
  if (ms < 1) return `${toThreeDigits(ms * 1e3)} µs`
  if (ms < 1_000) return `${toThreeDigits(ms)} ms`
  return `${toThreeDigits(ms / 1e3)} s`
}

/** `512 B`, `24.0 KiB`, `1.50 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_024) return `${Math.round(bytes)} B`
  if (bytes < 1_024 ** 2) return `${toThreeDigits(bytes / 1_024)} KiB`
  if (bytes < 1_024 ** 3) return `${toThreeDigits(bytes / 1_024 ** 2)} MiB`
  return `${toThreeDigits(bytes / 1_024 ** 3)} GiB`
}

/** Stands where there is nothing to say. */
export const NONE = "–"

/** Columns parted by two spaces, the first to the left and the others to the right, under a ruled header. */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column] ?? "")].map(width)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => pad(cell, widths[column] ?? 0, column > 0))
      .join("  ")
      .trimEnd()
  return [line(header), line(widths.map((length) => "─".repeat(length))), ...rows.map(line)].join("\n")
}

function pad(cell: string, length: number, right: boolean): string {
  const filling = " ".repeat(Math.max(0, length - width(cell)))
  return right ? filling + cell : cell + filling
}

function width(cell: string): number {
  return [...cell].length
}

function toThreeDigits(value: number): string {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0)
}
