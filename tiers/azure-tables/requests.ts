import type { TableClient, TableEntity, TableEntityResultPage, TransactionAction } from "@azure/data-tables"
import type { Runtime } from "../runtime.ts"
import { limited } from "../util/limited.ts"
import { type Refusal, type Request, refusalOf, toKvError } from "./errors.ts"
import { partitionOf, type Row } from "./row.ts"

/** A row was written; its new ETag, where the answer holds it. */
interface Written {
  etag?: string
}

interface RowsQuery {
  filter: string
  select: readonly string[]
  /** Rows at most; the service gives no more than 1,000 at once. */
  top: number
  /** Where the page before ended. */
  continuation?: string | undefined
  /** Longest time, ms. @default that of every request */
  limitMs?: number
  signal?: AbortSignal | undefined
}

/** It may be empty and still have a continuation: the service ends a page at the borders of its own partitions, too. */
type RowsPage = TableEntityResultPage<Record<string, unknown>>

/**
 * The requests that the backend makes of a table, each under a deadline of its own. What the service says is a value
 * where it is no failure, and a `KvError` where it is. `operation` is the backend's method, for those errors.
 */
export interface TableRequests {
  /** The row under the key, expired or not; with `select`, those of its properties alone. */
  read(operation: string, key: string, select?: readonly string[]): Promise<Row | undefined>
  /** `undefined` if a row is there already. */
  insert(operation: string, entity: TableEntity): Promise<Written | undefined>
  /** `undefined` if the row with this ETag is there no more. */
  replace(operation: string, entity: TableEntity, etag: string): Promise<Written | undefined>
  upsert(operation: string, entity: TableEntity): Promise<Written>
  /** Whether a row was removed: the one with this ETag, or any for `*`. */
  remove(operation: string, key: string, etag: string): Promise<boolean>
  /** All of the actions or none, on rows of one partition. In their order, or `undefined` if one of them found no row. */
  transact(operation: string, actions: TransactionAction[]): Promise<readonly Written[] | undefined>
  page(operation: string, query: RowsQuery): Promise<RowsPage>
}

/** Rows in a page; the service's limit. */
const MAX_PAGE = 1_000

const ABSENT: readonly Refusal[] = ["absent"]
const EXISTS: readonly Refusal[] = ["exists"]
const GONE: readonly Refusal[] = ["absent", "changed"]

interface Sent extends Request {
  readonly limitMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * @param clientFor gives the client for a request, or throws if there is none
 * @param requestTimeoutMs that one request may take
 */
export function tableRequests(
  clientFor: (request: Request) => TableClient,
  runtime: Runtime,
  requestTimeoutMs: number,
): TableRequests {
  type Ask<T> = (client: TableClient, abortSignal: AbortSignal) => Promise<T>
  async function send<T>(request: Sent, ask: Ask<T>): Promise<T>
  async function send<T>(request: Sent, ask: Ask<T>, expected: readonly Refusal[]): Promise<T | undefined>
  async function send<T>(
    request: Sent,
    ask: Ask<T>,
    expected: readonly Refusal[] = [],
  ): Promise<T | undefined> {
    const { limitMs = requestTimeoutMs, signal } = request
    const client = clientFor(request)
    try {
      return await limited(runtime, limitMs, signal, (cancel) => ask(client, cancel))
    } catch (error) {
      signal?.throwIfAborted()
      const refusal = refusalOf(error)
      if (refusal !== undefined && expected.includes(refusal)) return undefined
      throw toKvError(error, request)
    }
  }

  return {
    read: (operation, key, select) =>
      send<Row>(
        { operation, key, effect: "read" },
        (client, abortSignal) =>
          client.getEntity(partitionOf(key), key, {
            abortSignal,
            ...(select && { queryOptions: { select: [...select] } }),
          }),
        ABSENT,
      ),

    insert: (operation, entity) =>
      send<Written>(
        { operation, key: entity.rowKey, effect: "write" },
        (client, abortSignal) => client.createEntity(entity, { abortSignal }),
        EXISTS,
      ),

    replace: (operation, entity, etag) =>
      send<Written>(
        { operation, key: entity.rowKey, effect: "write" },
        (client, abortSignal) => client.updateEntity(entity, "Replace", { etag, abortSignal }),
        GONE,
      ),

    upsert: (operation, entity) =>
      send<Written>({ operation, key: entity.rowKey, effect: "write" }, (client, abortSignal) =>
        client.upsertEntity(entity, "Replace", { abortSignal }),
      ),

    async remove(operation, key, etag) {
      const removed = await send(
        { operation, key, effect: "write" },
        (client, abortSignal) => client.deleteEntity(partitionOf(key), key, { etag, abortSignal }),
        GONE,
      )
      return removed !== undefined
    },

    async transact(operation, actions) {
      const done = await send(
        { operation, effect: "write" },
        (client, abortSignal) => client.submitTransaction(actions, { abortSignal }),
        ABSENT,
      )
      return done?.subResponses
    },

    page: (operation, { filter, select, top, continuation, limitMs, signal }) =>
      send<RowsPage>({ operation, effect: "read", limitMs, signal }, async (client, abortSignal) => {
        const rows = client.listEntities({ queryOptions: { filter, select: [...select] }, abortSignal })
        const pages = rows.byPage({
          maxPageSize: Math.min(top, MAX_PAGE),
          ...(continuation === undefined ? {} : { continuationToken: continuation }),
        })
        const { value, done } = await pages.next()
        return done ? [] : value
      }),
  }
}
