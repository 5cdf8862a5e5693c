import type { RowHead } from "../backend.ts"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { countdown } from "../util/deadline.ts"
import { inParallel } from "../util/parallel.ts"
import { groupsOf } from "./batches.ts"
import { decoding } from "./errors.ts"
import type { TableRequests } from "./requests.ts"
import { HEAD, idOf, isLive, keysFilter, type Row, versionOf } from "./row.ts"
import type { ServiceTimes } from "./service-times.ts"

/** Keys in one query. The service allows 15 comparisons in a filter, and one is that of the partition. */
const MAX_KEYS = 14
/** Maximum number of concurrent queries. */
const PARALLEL = 8
/** The properties of a head. */
const KEYED_HEAD: readonly string[] = ["RowKey", ...HEAD]

/**
 * The heads of the rows under any number of keys, by queries of {@link MAX_KEYS} keys of one partition. The first goes alone, and after a query
 * that failed no more are sent: an outage concerns the other keys too, and is not to be answered by more load.
 */
export async function probe(
  requests: TableRequests,
  keys: readonly string[],
  { runtime, times, timeoutMs }: { runtime: Runtime; times: ServiceTimes; timeoutMs: number },
): Promise<Map<string, RowHead | KvError>> {
  const leftMs = countdown(runtime, timeoutMs)
  const heads = new Map<string, RowHead | KvError>()
  const groups = groupsOf(
    keys.map((key) => [key, undefined]),
    MAX_KEYS,
  )
  const ask = async (group: readonly (readonly [key: string, item: undefined])[]) => {
    const filter = keysFilter(group.map(([key]) => key))
    let continuation: string | undefined
    do {
      const query = { filter, select: KEYED_HEAD, top: MAX_KEYS, continuation, limitMs: leftMs() }
      const rows = await requests.page("probe", query)
      for (const row of rows) {
        const { rowKey: key = "" } = row
        heads.set(key, headOf(key, row))
      }
      continuation = rows.continuationToken
    } while (continuation !== undefined)
  }
  const [first, ...rest] = groups
  if (first !== undefined) await ask(first)
  await inParallel(rest, PARALLEL, ask)
  return heads

  function headOf(key: string, row: Row): RowHead | KvError {
    try {
      const live = decoding("probe", key, () => isLive(row, runtime.now()))
      return { id: idOf(row), version: versionOf(row), live, writtenAt: times.at(key, row.etag) }
    } catch (error) {
      if (error instanceof KvError) return error
      throw error
    }
  }
}
