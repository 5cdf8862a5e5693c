/** Buckets from each duration to twice that; a duration is known to 9 %. */
const A_DOUBLING = 8
/** Beyond ten minutes, 2^39 ns. */
const BUCKETS = 40 * A_DOUBLING

/**
 * Durations counted in buckets of a logarithmic scale. Counts of two moments can be subtracted, which gives the percentiles
 * of the time between; a histogram of `node:perf_hooks` has them only since it was made.
 */
export class DurationBuckets {
  readonly counts = new Uint32Array(BUCKETS)

  add(ns: number): void {
    const bucket = bucketOf(ns)
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
  }
}

export function bucketOf(ns: number): number {
  return Math.min(BUCKETS - 1, Math.floor(Math.log2(Math.max(1, ns)) * A_DOUBLING))
}

/** The duration, ms, that `share` of the counted ones do not exceed; 0 if none is counted. */
export function quantileMs(counts: ArrayLike<number>, share: number): number {
  let left = 0
  for (let bucket = 0; bucket < BUCKETS; bucket++) left += counts[bucket] ?? 0
  if (left === 0) return 0
  left *= share
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    left -= counts[bucket] ?? 0
    if (left <= 0) return middleMs(bucket)
  }
  return middleMs(BUCKETS - 1)
}

function middleMs(bucket: number): number {
  return 2 ** ((bucket + 0.5) / A_DOUBLING) / 1e6
}
