import type {
  Backend,
  BackendTraits,
  Condition,
  RowHead,
  StoredEntry,
  WriteResult,
} from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import type { Random } from "./events.ts"
import type { Place } from "./hub.ts"
import type { Row, Table } from "./table.ts"

/** Longest time after which an abandoned write is applied, ms. */
const LATEST_MS = 2_000
/** Longest time that the reply to a read takes, ms: less than a call may. */
const SLOWEST_MS = 700

export interface LinkOptions {
  table: Table
  random: Random
  process: Place
  /** Plans what the service does, which does not depend on the process. */
  plan: (afterMs: number, run: () => void) => void
  isOrdered: boolean
  isNetworked: boolean
  failing: number
}

/** The way from one process to the simulated service: a backend whose requests and replies take time, fail, and get lost. */
export class Link {
  readonly backend: Backend
  /** Requests so far. */
  requests = 0
  /** Are told of each state that a write of this process made. */
  readonly onApplied = new Set<(key: string, state: number) => void>()
  /** The share of the requests with a fault. */
  failing: number
  readonly #options: LinkOptions

  constructor(options: LinkOptions) {
    this.#options = options
    this.failing = options.failing
    const { isOrdered, table } = options
    const writeAll = async <T>(
      items: ReadonlyMap<string, T>,
      one: (key: string, item: T) => Promise<WriteResult>,
    ) => {
      const results = await Promise.all(
        Array.from(items, async ([key, item]) => [key, await one(key, item).catch(asError)] as const),
      )
      return new Map(results)
    }
    const put: Backend["put"] = (key, { value, id, condition }) =>
      this.#write(key, Buffer.from(value).toString(), id, condition)
    const remove: Backend["delete"] = (key, { id, condition }) => this.#write(key, undefined, id, condition)
    const readMany = (keys: readonly string[]) =>
      this.#read("getMany", () => {
        const found = keys.map((key) => [key, entryOf(table.rows.get(key))] as const)
        return new Map(found.filter((one): one is [string, StoredEntry] => one[1] !== undefined))
      })
    this.backend = {
      traits: traitsOf(options),
      open: async () => {},
      close: async () => {},
      get: (key) => this.#read("get", () => entryOf(table.rows.get(key))),
      getMany: readMany,
      exists: (key) => this.#read("exists", () => table.rows.has(key)),
      probe: (keys) => this.#read("probe", () => headsOf(keys, table)),
      scan: () => this.#read("scan", () => ({ entries: [] })),
      put,
      delete: remove,
      putMany: (writes) => writeAll(writes, put),
      deleteMany: (removals) => writeAll(removals, remove),
      ...(isOrdered ? { compareVersions: (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0) } : {}),
    }
  }

  #read<T>(operation: string, read: () => T): Promise<T> {
    const { random, process, plan, isNetworked } = this.#options
    this.requests++
    const fault = random() < this.failing ? random() : undefined
    return new Promise((resolve, reject) => {
      if (fault !== undefined && fault < 0.3 && isNetworked) return
      plan(this.#latency(), () => {
        if (fault !== undefined && fault < 0.6) {
          process.deliver(this.#latency(), () => reject(failure("UNAVAILABLE", operation)))
          return
        }
        // What was read is old by the time it arrives.
        const answer = read()
        const isSlow = fault !== undefined
        process.deliver(isSlow ? random() * SLOWEST_MS : this.#latency(), () => resolve(answer))
      })
    })
  }

  #write(
    key: string,
    text: string | undefined,
    id: string,
    condition: Condition | undefined,
  ): Promise<WriteResult> {
    const { random, process, plan, isNetworked } = this.#options
    this.requests++
    const operation = text === undefined ? "delete" : "put"
    const fault = random() < this.failing ? random() : undefined
    return new Promise((resolve, reject) => {
      // A request that has left the process arrives, whatever becomes of the process.
      if (fault === undefined || fault < 0.3) {
        plan(this.#latency(), () => {
          const result = this.#apply(key, text, id, condition)
          if (fault === undefined) process.deliver(this.#latency(), () => resolve(result))
          else if (!isNetworked)
            process.deliver(this.#latency(), () => reject(failure("OUTCOME_UNKNOWN", operation)))
        })
      } else if (fault < 0.6) {
        process.deliver(this.#latency(), () => reject(failure("UNAVAILABLE", operation)))
      } else {
        plan(random() * LATEST_MS, () => this.#apply(key, text, id, condition))
        if (!isNetworked || random() < 0.5) {
          process.deliver(this.#latency(), () => reject(failure("OUTCOME_UNKNOWN", operation)))
        }
      }
    })
  }

  #apply(key: string, text: string | undefined, id: string, condition: Condition | undefined): WriteResult {
    const { table } = this.#options
    const row = table.rows.get(key)
    if (row?.id === id && condition !== undefined) return { applied: true, version: row.version }
    const holds =
      condition === undefined ||
      ("absent" in condition ? row === undefined : row?.version === condition.version)
    if (!holds) return { applied: false }
    if (text === undefined && row === undefined) return { applied: true }
    const { version, state } = table.apply(key, text, id)
    for (const told of this.onApplied) told(key, state)
    return text === undefined ? { applied: true } : { applied: true, version }
  }

  #latency(): number {
    return 1 + this.#options.random() * 8
  }
}

function entryOf(row: Row | undefined): StoredEntry | undefined {
  return row && { value: Buffer.from(row.text), version: row.version }
}

function headsOf(keys: readonly string[], table: Table): Map<string, RowHead> {
  const heads = new Map<string, RowHead>()
  for (const key of keys) {
    const row = table.rows.get(key)
    if (row !== undefined) heads.set(key, { id: row.id, version: row.version, live: true })
  }
  return heads
}

function failure(code: "UNAVAILABLE" | "OUTCOME_UNKNOWN", operation: string): KvError {
  return new KvError(code, `the simulated ${operation} failed`, { operation })
}

function asError(error: unknown): KvError {
  if (error instanceof KvError) return error
  throw error
}

function traitsOf({ isOrdered, isNetworked }: LinkOptions): BackendTraits {
  return {
    ...{
      kind: "simulated",
      target: "table",
      system: "other_sql",
      inProcess: !isNetworked,
      ordered: isOrdered,
    },
    ...{ maxReadBatch: 10, maxWriteBatch: 10 },
    calls: {
      get: "get",
      getMany: "getMany",
      exists: "exists",
      put: "put",
      putMany: "putMany",
      delete: "delete",
      deleteMany: "deleteMany",
      scan: "scan",
    },
  }
}
