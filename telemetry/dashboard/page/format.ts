/** Numbers with their units, as people read them. Part of the page's script: it names nothing outside itself. */
export function formats() {
  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 })
  const NONE = "–"

  /** `1,234,567` */
  function count(value: number): string {
    return whole.format(value)
  }

  /** A number of a second: `0.4`, `12.3`, `1,234`, `56.7k`. */
  function rate(value: number): string {
    if (value === 0) return "0"
    if (value < 0.05) return "< 0.1"
    if (value < 99.95) return value.toFixed(1)
    if (value < 9_999.5) return whole.format(value)
    if (value < 999_500) return `${threeDigits(value / 1e3)}k`
    return `${threeDigits(value / 1e6)}M`
  }

  /** `98.7 %`; a ratio short of everything never reads as `100.0 %`. */
  function ratio(part: number, all: number): string {
    if (all === 0) return NONE
    const percent = (part / all) * 100
    if (part < all && percent >= 99.95) return "99.9 %"
    if (part > 0 && percent < 0.05) return "< 0.1 %"
    return `${percent.toFixed(1)} %`
  }

  /** `512 B`, `24.0 KiB`, `1.50 MiB`. */
  function bytes(value: number): string {
    if (value < 1_024) return `${Math.round(value)} B`
    if (value < 1_024 ** 2) return `${threeDigits(value / 1_024)} KiB`
    if (value < 1_024 ** 3) return `${threeDigits(value / 1_024 ** 2)} MiB`
    return `${threeDigits(value / 1_024 ** 3)} GiB`
  }

  /** `850 ns`, `12.3 µs`, `4.56 ms`, `1.20 s`. */
  function duration(ms: number): string {
    if (ms < 1e-3) return `${Math.round(ms * 1e6)} ns`
    if (ms < 1) return `${threeDigits(ms * 1e3)} µs`
    if (ms < 1_000) return `${threeDigits(ms)} ms`
    return `${threeDigits(ms / 1e3)} s`
  }

  /** `12 s`, `4 min`, `3 h 5 min`, `2 d 4 h`. */
  function age(ms: number): string {
    const seconds = Math.max(0, Math.round(ms / 1_000))
    if (seconds < 60) return `${seconds} s`
    const minutes = Math.floor(seconds / 60)
    if (minutes < 60) return `${minutes} min`
    const hours = Math.floor(minutes / 60)
    if (hours < 24) return `${hours} h ${minutes % 60} min`
    return `${Math.floor(hours / 24)} d ${hours % 24} h`
  }

  /** `1 process`, `2 processes`. */
  function plural(value: number, one: string, many: string): string {
    return `${count(value)} ${value === 1 ? one : many}`
  }

  function threeDigits(value: number): string {
    return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0)
  }

  return { count, rate, ratio, bytes, duration, age, plural, NONE }
}

export type Formats = ReturnType<typeof formats>
