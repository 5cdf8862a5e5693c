/** Uniform numbers in [0, 1), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Picks items with Zipf's popularity: the one of rank `k` in proportion to `1 / k ** exponent`. Ranks are drawn at random. */
export function zipf<T>(items: readonly T[], exponent: number, random: () => number): () => T {
  const ranked = shuffled(items, random)
  const cumulative = new Float64Array(ranked.length)
  let total = 0
  for (let rank = 1; rank <= ranked.length; rank++) {
    total += 1 / rank ** exponent
    cumulative[rank - 1] = total
  }
  return () => {
    const target = random() * total
    let low = 0
    let high = ranked.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((cumulative[middle] ?? 0) > target) high = middle
      else low = middle + 1
    }
    const picked = ranked[low]
    if (picked === undefined) throw new RangeError("there is nothing to pick from")
    return picked
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
