import type { RowHead } from "../backend.ts"
import type { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { countdown } from "../util/deadline.ts"
import { batchGet, batchGotten } from "./batches.ts"
import type { DynamoDbRequests } from "./requests.ts"
import { HEAD_PROJECTION, hasIdentity, headOf, type Item, keyOf, orCorrupt, type Projection } from "./row.ts"

/**
 * The heads of the rows under the keys, in one request without values. The rows without an identity are then read again with their values, on
 * which their versions depend.
 */
export async function probe(
  { request }: DynamoDbRequests,
  table: string,
  keys: readonly string[],
  { runtime, timeoutMs }: { runtime: Runtime; timeoutMs: number },
): Promise<Map<string, RowHead | KvError>> {
  const leftMs = countdown(runtime, timeoutMs)
  const heads = new Map<string, RowHead | KvError>()
  const read = async (keys: readonly string[], projection?: Projection): Promise<readonly Item[]> => {
    if (keys.length === 0) return []
    const output = await request(
      { operation: "probe", effect: "read", limitMs: leftMs() },
      batchGet(table, keys, projection),
    )
    const { items, unprocessed } = batchGotten(table, "probe", output)
    for (const [key, error] of unprocessed) heads.set(key, error)
    return items
  }
  const items = await read(keys, HEAD_PROJECTION)
  const others = await read(items.filter((item) => !hasIdentity(item)).map(keyOf))
  const now = runtime.now()
  for (const item of [...items.filter(hasIdentity), ...others]) {
    const head = orCorrupt(() => headOf(item, now))
    heads.set(keyOf(item), head)
  }
  return heads
}
