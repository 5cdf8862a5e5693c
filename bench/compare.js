import { do_not_optimize, measure } from "mitata"

/**
 * Times functions side by side. The rounds take turns, so that a machine whose speed drifts moves all of them alike, and
 * what counts is the ratio: each function's time over the first one's of the same round, the median of the rounds.
 *
 * @param {string} title
 * @param {Record<string, () => unknown>} functions the first is the reference
 * @param {{ rounds?: number, goals?: Record<string, number>, per?: number, notes?: Record<string, string> }} [options]
 *   `goals`: the largest ratio aimed at, by name; `per`: calls that one run of each function stands for
 * @returns {Promise<Record<string, { ns: number, ratio: number }>>}
 */
export async function compare(title, functions, { rounds = 7, goals = {}, per = 1 } = {}) {
  const names = Object.keys(functions)
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const run = functions[name]
      const isAsync = run() instanceof Promise
      const stats = await measure(
        isAsync ? async () => do_not_optimize(await run()) : () => do_not_optimize(run()),
        {
          min_cpu_time: 100e6,
          min_samples: 12,
        },
      )
      times[name].push(stats.p50 / per)
    }
  }
  const [reference] = names
  const results = {}
  const rows = names.map((name) => {
    const ns = median(times[name])
    const ratio = median(times[name].map((time, round) => time / times[reference][round]))
    results[name] = { ns, ratio }
    return [name, formatNs(ns), `${ratio.toFixed(2)}×`, verdict(ratio, goals[name])]
  })
  table(title, ["", "median", "ratio", "goal"], rows)
  return results
}

function verdict(ratio, goal) {
  if (goal === undefined) return ""
  return `≤ ${goal}× ${ratio <= goal ? "met" : "MISSED"}`
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function formatNs(ns) {
  if (ns < 1_000) return `${ns.toFixed(1)} ns`
  if (ns < 1e6) return `${(ns / 1e3).toFixed(2)} µs`
  return `${(ns / 1e6).toFixed(2)} ms`
}

/** Prints rows under a title, columns aligned: the first to the left, the others to the right. */
export function table(title, head, rows) {
  const lines = [head, ...rows].map((row) => row.map(String))
  const widths = head.map((_, column) => Math.max(...lines.map((row) => row[column].length)))
  const format = (row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join("  ")
  console.log(`\n${title}`)
  for (const row of lines) console.log(`  ${format(row)}`.trimEnd())
}
