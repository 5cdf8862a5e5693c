import type { MaybePromise } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import type { L1Entry } from "../../tiers/l1/entry.ts"
import { NONE } from "../../tiers/l1/lru-slots.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { GetManyOptions } from "../api.ts"
import type { Caller, Outcome } from "../listener.ts"
import type { OpenStore } from "../open-store.ts"
import type { Form } from "./forms.ts"
import { checkIterable, checkKey } from "./keys.ts"

/**
 * The values of those `keys` that are present. Each key is read separately, so that it can join a read of it under way; a wrapper of the
 * backend batches the reads. If one key cannot be read, the call rejects, because that key must not look absent.
 */
export async function readMany<T>(
  { l1, tiers, listener }: OpenStore,
  operation: string,
  keys: Iterable<string>,
  options: GetManyOptions | undefined,
  form: Form<T>,
): Promise<Map<string, T>> {
  checkIterable("keys", keys, operation)
  const distinct = new Set(keys)
  for (const key of distinct) checkKey(key, operation)

  const strong = options?.consistency === "strong"
  const fill = options?.fill ?? false
  if (strong && fill) {
    const message =
      'fill puts what is read into L1, which consistency: "strong" bypasses; give one of the two'
    throw new KvError("INVALID_OPTION", message, { operation })
  }
  const present = new Map<string, T>()
  const unheld: string[] = []
  for (const key of distinct) {
    const slot = strong ? NONE : l1.find(key)
    if (slot !== NONE) present.set(key, form.at(l1, slot, operation, key))
    else if (strong || tiers.lookUpAbsent(key) === undefined) unheld.push(key)
  }
  const held = present.size
  if (unheld.length === 0) {
    listener.onHit?.("getMany", undefined, undefined, { l1: held, l2: 0, absent: distinct.size - held })
    return present
  }

  const readAll = (caller: Caller) => {
    const read = (key: string) =>
      strong ? tiers.direct.readStrong(key, caller) : tiers.cached.read(key, fill, caller)
    return abortable(readEach(unheld, read), options?.signal)
  }
  const describe = (entries: Map<string, L1Entry>): Outcome => {
    const found = held + entries.size
    const hit = found === distinct.size
    const keys = { l1: held, l2: entries.size, absent: distinct.size - found }
    return { tier: "l2", result: strong ? "bypass" : hit ? "hit" : "miss", hit, keys }
  }
  const entries = await listener.operation("getMany", undefined, readAll, describe, options?.signal)
  for (const [key, entry] of entries) present.set(key, form.of(l1, entry, operation, key))
  return present
}

/** Reads `keys` concurrently: the entries of those that are present. */
async function readEach(
  keys: readonly string[],
  read: (key: string) => MaybePromise<L1Entry | undefined>,
): Promise<Map<string, L1Entry>> {
  const present = new Map<string, L1Entry>()
  const pending: Promise<void>[] = []
  for (const key of keys) {
    const keep = (entry: L1Entry | undefined) => void (entry !== undefined && present.set(key, entry))
    const answer = read(key)
    if (answer instanceof Promise) pending.push(answer.then(keep))
    else keep(answer)
  }
  if (pending.length > 0) await Promise.all(pending)
  return present
}
