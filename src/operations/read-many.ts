import type { MaybePromise } from "../../tiers/backend.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { GetManyOptions } from "../api.ts"
import type { Caller, Outcome } from "../listener.ts"
import type { OpenStore } from "../open-store.ts"
import { checkIterable, checkKey } from "./keys.ts"

/**
 * The entries of those `keys` that are present. Each key is read separately, so that it can join a read of it under way; a wrapper of the
 * backend batches the reads. If one key cannot be read, the call rejects, because that key must not look absent.
 */
export async function readMany(
  { tiers, listener }: OpenStore,
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
  const unheld: string[] = []
  for (const key of distinct) {
    const held = strong ? undefined : tiers.lookUp(key)
    if (held === undefined) unheld.push(key)
    else if (held !== null) present.set(key, held)
  }
  const l1 = present.size
  if (unheld.length === 0) {
    listener.onHit?.("getMany", undefined, undefined, { l1, l2: 0, absent: distinct.size - l1 })
    return present
  }

  const readAll = (caller: Caller) => {
    const read = (key: string) => (strong ? tiers.readStrong(key, caller) : tiers.read(key, fill, caller))
    return abortable(readInto(present, unheld, read), options?.signal)
  }
  await listener.operation("getMany", undefined, readAll, (): Outcome => {
    const hit = present.size === distinct.size
    const keys = { l1, l2: present.size - l1, absent: distinct.size - present.size }
    return { tier: "l2", result: strong ? "bypass" : hit ? "hit" : "miss", hit, keys }
  })
  return present
}

/** Reads `keys` concurrently into `present`. */
async function readInto(
  present: Map<string, L1Entry>,
  keys: readonly string[],
  read: (key: string) => MaybePromise<L1Entry | undefined>,
): Promise<void> {
  const pending: Promise<void>[] = []
  for (const key of keys) {
    const keep = (entry: L1Entry | undefined) => void (entry !== undefined && present.set(key, entry))
    const answer = read(key)
    if (answer instanceof Promise) pending.push(answer.then(keep))
    else keep(answer)
  }
  if (pending.length > 0) await Promise.all(pending)
}
