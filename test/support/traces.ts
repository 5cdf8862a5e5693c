import { existsSync, readdirSync } from "node:fs"
import { Readable } from "node:stream"
import { fileURLToPath } from "node:url"
import { LRUCache } from "lru-cache"
import { openAccessLog } from "../../src/cli/replay/access-log.ts"

/** Access traces that may lie beside the checkout: gzip, one key a line. */
const FOLDER = new URL("../../../shared/traces/", import.meta.url)

/** Names of the traces that are there, none if there are none. */
export const traceNames = existsSync(FOLDER) ? readdirSync(FOLDER).filter((name) => name.endsWith(".gz")) : []

export function tracePath(name: string): string {
  return fileURLToPath(new URL(name, FOLDER))
}

export async function traceKeys(name: string): Promise<string[]> {
  const log = await openAccessLog(tracePath(name), { stdin: Readable.from([]) })
  const keys: string[] = []
  for await (const batch of log.batches) for (const { key } of batch) keys.push(key)
  return keys
}

/** Hits that lru-cache itself has on these keys. */
export function lruHits(keys: Iterable<string>, maxEntries: number): number {
  const cache = new LRUCache<string, true>({ max: maxEntries })
  let hits = 0
  for (const key of keys) {
    if (cache.get(key)) hits++
    else cache.set(key, true)
  }
  return hits
}

/** Keys of which some are far more frequent than others: the same ones for the same seed. */
export function skewedKeys(seed: number, length: number, keyCount: number): number[] {
  let state = seed
  return Array.from({ length }, () => {
    state = (Math.imul(state, 48_271) >>> 0) % 2_147_483_647
    return Math.floor(keyCount * (state / 2_147_483_647) ** 2)
  })
}
