/** Formats numbers with their units for the command line and the dashboard's page. */

/** Shown if there is no number. */
export const NONE = "–"

let grouped: Intl.NumberFormat | undefined

/** `1,234,567` */
export function formatCount(count: number): string {
  // Loading the data of a locale takes 20 ms.
  grouped ??= new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })
  return grouped.format(count)
}

/** `1 process`, `2 processes`. */
export function plural(count: number, one: string, many: string): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

/** A number per second: `0.4`, `12.3`, `1,234`, `56.7k`. */
export function formatRate(perSecond: number): string {
  if (perSecond === 0) return "0"
  if (perSecond < 0.05) return "< 0.1"
  if (perSecond < 99.95) return perSecond.toFixed(1)
  if (perSecond < 9_999.5) return formatCount(perSecond)
  if (perSecond < 999_500) return `${toThreeDigits(perSecond / 1e3)}k`
  return `${toThreeDigits(perSecond / 1e6)}M`
}

/** `part` as a share of `whole`: `98.7 %`. Never rounds to `100.0 %` or `0.0 %`. */
export function formatShare(part: number, whole: number): string {
  if (whole === 0) return NONE
  const percent = (part / whole) * 100
  if (part < whole && percent >= 99.95) return "99.9 %"
  if (part > 0 && percent < 0.05) return "< 0.1 %"
  return `${percent.toFixed(1)} %`
}

/** `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`. */
export function formatDuration(ms: number): string {
  if (ms < 1e-3) return `${Math.round(ms * 1e6)} ns`
  if (ms < 1) return `${toThreeDigits(ms * 1e3)} µs`
  if (ms < 1_000) return `${toThreeDigits(ms)} ms`
  return `${toThreeDigits(ms / 1e3)} s`
}

/** `12 s`, `4 min`, `3 h 5 min`, `2 d 4 h`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 24) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

/** `512 B`, `24.0 KiB`, `1.50 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1_024) return `${Math.round(bytes)} B`
  if (bytes < 1_024 ** 2) return `${toThreeDigits(bytes / 1_024)} KiB`
  if (bytes < 1_024 ** 3) return `${toThreeDigits(bytes / 1_024 ** 2)} MiB`
  return `${toThreeDigits(bytes / 1_024 ** 3)} GiB`
}

function toThreeDigits(value: number): string {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0)
}
