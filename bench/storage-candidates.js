import { LRUCache } from "lru-cache"
import { L1, L1Entry, systemRuntime } from "./internals.js"
import { LruCacheL1 } from "./lru-cache-l1.js"

const HOUR_MS = 3_600_000
export const VALUE_BYTES = 100

export const NAMES = {
  lru: "lru-cache with TTL and sizes",
  lruL1: "an L1 on lru-cache",
  l1: "L1, in slots",
}

const MAKE = {
  lru: ({ maxEntries, maxBytes, ttlMs }) => new LRUCache({ max: maxEntries, maxSize: maxBytes, ttl: ttlMs }),
  lruL1: (settings) => new LruCacheL1(settings),
  l1: (settings) => new L1(settings, systemRuntime, () => {}),
}

/** One of the three, empty. */
export function candidate(which, maxEntries) {
  return MAKE[which]({ maxEntries, maxBytes: 1e12, ttlMs: HOUR_MS, negativeTtlMs: 1_000, jitter: 0.1 })
}

/** All three, empty. */
export function candidates(maxEntries) {
  return Object.fromEntries(Object.keys(NAMES).map((which) => [which, candidate(which, maxEntries)]))
}

/** Fills those of the three that are given, with the text decoded, so that a hit decodes nothing. */
export function fill({ lru, lruL1, l1 }, key, value, version, expiresAt) {
  lru?.set(key, value.toString("latin1"), { size: VALUE_BYTES })
  if (lruL1 !== undefined) {
    lruL1.fill(key, value, version)
    const entry = lruL1.get(key)
    entry.text = entry.bytes
  }
  if (l1 !== undefined) {
    const entry = new L1Entry(value, version, expiresAt)
    l1.fill(key, entry)
    entry.decodeText()
    l1.keepText(key, entry)
  }
}
