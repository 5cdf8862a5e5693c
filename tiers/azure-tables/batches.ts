import type { TransactionAction } from "@azure/data-tables"
import type { Write, WriteResult } from "../backend.ts"
import { KvError } from "../errors.ts"
import { ofKey } from "../util/key-error.ts"
import { inParallel } from "../util/parallel.ts"
import type { TableRequests } from "./requests.ts"
import { entityOf, partitionOf, resultOf } from "./row.ts"
import { type TableLimits, tooLong } from "./table-limits.ts"

/**
 * Maximum number of keys in one `putMany` or `deleteMany`: 25 for each of the 16 partitions on average. With the largest values they are
 * 13 MB, which are sent within seconds.
 */
export const MAX_WRITE_BATCH = 400
/** Maximum number of concurrent requests. */
const PARALLEL = 8

type Results<T> = Map<string, T | KvError>

/**
 * Sends one transaction for each partition of the keys, or for each 100 of its keys (on Cosmos DB 50). A transaction writes all its keys or
 * none. All end when `leftMs`, the time that is left, is over.
 */
export function putMany(
  requests: TableRequests,
  writes: ReadonlyMap<string, Write>,
  now: number,
  leftMs: () => number,
  limits: TableLimits,
): Promise<Results<WriteResult>> {
  return eachGroup("putMany", writes, limits, async (group) => {
    const entities = group.map(([key, write]) => entityOf(key, write, now))
    const [only] = entities
    const written =
      only !== undefined && entities.length === 1
        ? [await requests.upsert("putMany", only, leftMs())]
        : await requests.transact(
            "putMany",
            entities.map((entity): TransactionAction => ["upsert", entity, "Replace"]),
            leftMs(),
          )
    return new Map(group.map(([key, { id }], index) => [key, resultOf(written?.[index] ?? {}, id)]))
  })
}

/** Like {@link putMany}. An absent key makes its transaction fail as a whole, and the keys of the transaction are then deleted one by one. */
export function deleteMany(
  requests: TableRequests,
  removals: ReadonlyMap<string, unknown>,
  leftMs: () => number,
  limits: TableLimits,
): Promise<Results<WriteResult>> {
  return eachGroup("deleteMany", removals, limits, async (group) => {
    const keys = group.map(([key]) => key)
    if (keys.length > 1) {
      const done = await requests.transact(
        "deleteMany",
        keys.map((rowKey): TransactionAction => ["delete", { partitionKey: partitionOf(rowKey), rowKey }]),
        leftMs(),
      )
      if (done !== undefined) return new Map(keys.map((key) => [key, { applied: true }]))
    }
    return eachKey(keys, async (key) => {
      await requests.remove("deleteMany", key, "*", leftMs())
      return { applied: true }
    })
  })
}

/** The result of `ask` for each key, or its error. */
export async function eachKey<T>(
  keys: Iterable<string>,
  ask: (key: string) => Promise<T>,
): Promise<Results<T>> {
  const results: Results<T> = new Map()
  await inParallel(keys, PARALLEL, async (key) => {
    try {
      results.set(key, await ask(key))
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      results.set(key, error)
    }
  })
  return results
}

/** The results of `write` for the keys of each group, or its error for each key of the group. Keys that are too long are in no group. */
async function eachGroup<Item>(
  operation: string,
  items: ReadonlyMap<string, Item>,
  limits: TableLimits,
  write: (group: readonly (readonly [key: string, item: Item])[]) => Promise<Results<WriteResult>>,
): Promise<Results<WriteResult>> {
  const results: Results<WriteResult> = new Map()
  const legal = [...items].filter(([key]) => {
    const refusal = tooLong(operation, key, limits)
    if (refusal !== undefined) results.set(key, refusal)
    return refusal === undefined
  })
  await inParallel(groupsOf(legal, limits.transaction), PARALLEL, async (group) => {
    try {
      for (const [key, result] of await write(group)) results.set(key, result)
    } catch (error) {
      if (!(error instanceof KvError)) throw error
      for (const [key] of group) results.set(key, ofKey(error, key))
    }
  })
  return results
}

/** Splits the items by partition, and into groups of at most `size`. */
export function groupsOf<Item>(
  items: Iterable<readonly [string, Item]>,
  size: number,
): (readonly [string, Item])[][] {
  const open = new Map<string, (readonly [string, Item])[]>()
  const groups: (readonly [string, Item])[][] = []
  for (const item of items) {
    const partition = partitionOf(item[0])
    let group = open.get(partition)
    if (group === undefined || group.length === size) {
      group = []
      open.set(partition, group)
      groups.push(group)
    }
    group.push(item)
  }
  return groups
}
