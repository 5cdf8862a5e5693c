import type { TableClient, TableEntity, TableEntityResultPage, TransactionAction } from "@azure/data-tables"
import type { Runtime } from "../runtime.ts"
import { LimitedRequest } from "../util/limited-request.ts"
import { type Refusal, type Request, refusalOf, toKvError } from "./errors.ts"
import { partitionOf, type Row } from "./row.ts"
import type { ServiceTimes } from "./service-times.ts"

/** The row was written. It has this ETag, if the answer shows it. */
interface Written {
  etag?: string
}

interface RowsQuery {
  filter: string
  select: readonly string[]
  /** Maximum number of rows. The service returns at most 1,000. */
  top: number
  /** The continuation of the page before. */
  continuation?: string | undefined
  /** Longest time, ms. @default that of every request */
  limitMs?: number
  signal?: AbortSignal | undefined
}

/** A page can be empty and still have a continuation: the service also ends a page where its own partitions end. */
type RowsPage = TableEntityResultPage<Record<string, unknown>>

interface ReadOptions {
  /** The properties to read. @default all */
  select?: readonly string[]
  /** Longest time, ms. @default that of every request */
  limitMs?: number | undefined
}

/**
 * The requests for the rows of one table. An answer that is no failure is a value, any other rejects with a `KvError`. `operation` is the
 * method of the backend, for errors; `limitMs` the longest time of the request.
 */
export interface TableRequests {
  /** The row under the key, live or expired. */
  read(operation: string, key: string, options?: ReadOptions): Promise<Row | undefined>
  /** `undefined` if a row exists. */
  insert(operation: string, entity: TableEntity, limitMs?: number): Promise<Written | undefined>
  /** `undefined` if the row with this ETag no longer exists. */
  replace(
    operation: string,
    entity: TableEntity,
    etag: string,
    limitMs?: number,
  ): Promise<Written | undefined>
  upsert(operation: string, entity: TableEntity, limitMs?: number): Promise<Written>
  /** Whether a row was removed: the one with this ETag, or any for `*`. */
  remove(operation: string, key: string, etag: string, limitMs?: number): Promise<boolean>
  /** Writes rows of one partition, all or none. Resolves to the results in order, or to `undefined` if an action found no row. */
  transact(
    operation: string,
    actions: TransactionAction[],
    limitMs?: number,
  ): Promise<readonly Written[] | undefined>
  page(operation: string, query: RowsQuery): Promise<RowsPage>
}

/** The service's limit of rows in a page. */
const MAX_PAGE = 1_000

const ABSENT: readonly Refusal[] = ["absent"]
const EXISTS: readonly Refusal[] = ["exists"]
const GONE: readonly Refusal[] = ["absent", "changed"]

export interface TableRequestOptions {
  readonly runtime: Runtime
  /** Longest time of a request that gives none, ms. */
  readonly requestTimeoutMs: number
  /** Learns from the answers. */
  readonly times: ServiceTimes
}

/** @param clientFor gives the client for a request, or throws if there is none */
export function tableRequests(
  clientFor: (request: Request) => TableClient,
  { runtime, requestTimeoutMs, times }: TableRequestOptions,
): TableRequests {
  let wasAnswered = false
  const failure = (error: unknown, request: Request) => toKvError(error, { ...request, wasAnswered })

  /** The time and the options of a request. Its caller calls the SDK itself: no frame is between a method and the SDK. */
  function begin(limitMs = requestTimeoutMs, signal?: AbortSignal) {
    const limited = new LimitedRequest(runtime, limitMs, signal)
    const sent = times.moment()
    const onResponse = (response: { headers: { get(name: string): string | undefined } }) => {
      wasAnswered = true
      times.answered(sent, response.headers.get("date"))
    }
    return { limited, sent, options: { abortSignal: limited.cancel, onResponse } }
  }

  /** Throws the `KvError` of a request, unless its answer is one of the refusals. */
  function unless(refusals: readonly Refusal[], error: unknown, request: Request): undefined {
    const refusal = refusalOf(error)
    if (refusal === undefined || !refusals.includes(refusal)) throw failure(error, request)
  }

  return {
    async read(operation, key, { select, limitMs } = {}) {
      const request = { operation, key, effect: "read" } as const
      const client = clientFor(request)
      try {
        const { limited, options } = begin(limitMs)
        const queryOptions = select && { queryOptions: { select: [...select] } }
        return await limited.bound<Row>(
          client.getEntity(partitionOf(key), key, { ...options, ...queryOptions }),
        )
      } catch (error) {
        return unless(ABSENT, error, request)
      }
    },

    async insert(operation, entity, limitMs) {
      const request = { operation, key: entity.rowKey, effect: "write" } as const
      const client = clientFor(request)
      try {
        const { limited, sent, options } = begin(limitMs)
        const written: Written = await limited.bound(client.createEntity(entity, options))
        times.written(entity.rowKey, sent, written.etag)
        return written
      } catch (error) {
        return unless(EXISTS, error, request)
      }
    },

    async replace(operation, entity, etag, limitMs) {
      const request = { operation, key: entity.rowKey, effect: "write" } as const
      const client = clientFor(request)
      try {
        const { limited, sent, options } = begin(limitMs)
        const written: Written = await limited.bound(
          client.updateEntity(entity, "Replace", { etag, ...options }),
        )
        times.written(entity.rowKey, sent, written.etag)
        return written
      } catch (error) {
        return unless(GONE, error, request)
      }
    },

    async upsert(operation, entity, limitMs) {
      const request = { operation, key: entity.rowKey, effect: "write" } as const
      const client = clientFor(request)
      try {
        const { limited, sent, options } = begin(limitMs)
        const written: Written = await limited.bound(client.upsertEntity(entity, "Replace", options))
        times.written(entity.rowKey, sent, written.etag)
        return written
      } catch (error) {
        throw failure(error, request)
      }
    },

    async remove(operation, key, etag, limitMs) {
      const request = { operation, key, effect: "write" } as const
      const client = clientFor(request)
      try {
        const { limited, options } = begin(limitMs)
        await limited.bound(client.deleteEntity(partitionOf(key), key, { etag, ...options }))
        return true
      } catch (error) {
        unless(GONE, error, request)
        return false
      }
    },

    async transact(operation, actions, limitMs) {
      const request = { operation, effect: "write" } as const
      const client = clientFor(request)
      try {
        const { limited, sent, options } = begin(limitMs)
        const { subResponses } = await limited.bound(client.submitTransaction(actions, options))
        for (const [index, [, { rowKey }]] of actions.entries()) {
          times.written(rowKey, sent, subResponses[index]?.etag)
        }
        return subResponses
      } catch (error) {
        return unless(ABSENT, error, request)
      }
    },

    async page(operation, { filter, select, top, continuation, limitMs, signal }) {
      const request = { operation, effect: "read" } as const
      const client = clientFor(request)
      try {
        const { limited, options } = begin(limitMs, signal)
        const rows = client.listEntities({ queryOptions: { filter, select: [...select] }, ...options })
        const pages = rows.byPage({
          maxPageSize: Math.min(top, MAX_PAGE),
          ...(continuation === undefined ? {} : { continuationToken: continuation }),
        })
        const { value, done } = await limited.bound(pages.next())
        return done ? [] : value
      } catch (error) {
        signal?.throwIfAborted()
        throw failure(error, request)
      }
    },
  }
}
