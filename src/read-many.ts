import type { L1Entry } from "../tiers/l1-entry.ts"
import { abortable } from "./abort.ts"
import type { GetManyOptions } from "./api.ts"
import { checkIterable, checkKey } from "./keys.ts"
import type { TwoTier } from "./two-tier.ts"

/**
 * The present ones of `keys`. Each key is a read of its own, so that it meets the reads of it under way; what travels
 * together is the backend's affair. One key that cannot be read rejects the whole, because it must not look absent.
 */
export async function readMany(
  tiers: TwoTier,
  operation: string,
  keys: Iterable<string>,
  options: GetManyOptions | undefined,
): Promise<Map<string, L1Entry>> {
  checkIterable("keys", keys, operation)
  const distinct = new Set(keys)
  for (const key of distinct) checkKey(key, operation)

  const strong = options?.consistency === "strong"
  const fill = options?.fill ?? false
  const present = new Map<string, L1Entry>()
  const pending: Promise<void>[] = []
  for (const key of distinct) {
    const keep = (entry: L1Entry | undefined) => void (entry !== undefined && present.set(key, entry))
    try {
      const read = strong ? tiers.readStrong(key) : tiers.get(key, fill)
      if (read instanceof Promise) pending.push(read.then(keep))
      else keep(read)
    } catch (error) {
      pending.push(Promise.reject(error))
    }
  }
  if (pending.length > 0) await abortable(Promise.all(pending), options?.signal)
  return present
}
