import type { StoredEntry } from "../backend.ts"
import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { decodeRow } from "../util/binary-row.ts"
import { eachKey } from "./batches.ts"
import { isFromReplica, wantAsOf } from "./caught-up.ts"
import type { RedisConnection } from "./connection.ts"
import { type RedisRequest, toKvError } from "./errors.ts"
import type { Replicas } from "./replicas.ts"

export interface ReadsOptions {
  connection: RedisConnection
  replicas: Replicas | undefined
  runtime: Runtime
  /** The name of a key on the server. */
  nameOf: (key: string) => string | Buffer
  /** Whether the keys of one command may be in several slots, which Redis refuses. */
  manySlots: boolean
}

/**
 * Reads of whole rows. Where a replica may answer, it is asked first; what it does not have is asked of the primary. For a replica whose
 * synchronization fails may be empty, and an outage is never a miss.
 */
export class Reads {
  readonly #options: ReadsOptions

  constructor(options: ReadsOptions) {
    this.#options = options
  }

  /** @param asOf as `RequestOptions.asOf`, for a server that may be a replica */
  async get(
    request: RedisRequest,
    key: string,
    server = this.#options.connection,
    asOf?: number,
  ): Promise<StoredEntry | undefined> {
    const name = this.#nameOf(key, asOf)
    const row = await server.answered(request, server.client(request).getBuffer(name))
    if (asOf !== undefined && !isFromReplica(name)) return undefined
    const entry = this.#decode(request, row)
    if (entry instanceof KvError) throw entry
    return entry
  }

  async getMany(
    request: RedisRequest,
    keys: readonly string[],
    server = this.#options.connection,
    asOf?: number,
  ): Promise<Map<string, StoredEntry | KvError>> {
    if (this.#options.manySlots)
      return eachKey(keys, (key) => this.get(ofKey(request, key), key, server, asOf))
    const found = new Map<string, StoredEntry | KvError>()
    if (keys.length === 0) return found
    const names = keys.map((key) => this.#nameOf(key, asOf))
    const rows = await server.answered(request, server.client(request).mgetBuffer(names))
    const [first] = names
    if (asOf !== undefined && first !== undefined && !isFromReplica(first)) return found
    for (const [index, key] of keys.entries()) {
      const entry = this.#decode(ofKey(request, key), rows[index] ?? null)
      if (entry !== undefined) found.set(key, entry)
    }
    return found
  }

  async getAsOf(request: RedisRequest, key: string, asOf: number): Promise<StoredEntry | undefined> {
    const { replicas, runtime } = this.#options
    const sentAt = runtime.monotonic()
    const found = await replicas?.tryAsOf(asOf, request, (replica, brief) =>
      this.get(brief, key, replica, asOf),
    )
    return found ?? this.get(restOf(request, runtime.monotonic() - sentAt), key)
  }

  async getManyAsOf(
    request: RedisRequest,
    keys: readonly string[],
    asOf: number,
  ): Promise<Map<string, StoredEntry | KvError>> {
    const { replicas, runtime } = this.#options
    const sentAt = runtime.monotonic()
    const near = await replicas?.tryAsOf(asOf, request, (replica, brief) =>
      this.getMany(brief, keys, replica, asOf),
    )
    const found = new Map<string, StoredEntry | KvError>()
    for (const [key, entry] of near ?? []) if (!(entry instanceof KvError)) found.set(key, entry)
    const absent = keys.filter((key) => !found.has(key))
    if (absent.length === 0) return found
    const rest = restOf(request, runtime.monotonic() - sentAt)
    for (const [key, entry] of await this.getMany(rest, absent)) found.set(key, entry)
    return found
  }

  #nameOf(key: string, asOf: number | undefined): string | Buffer {
    const name = this.#options.nameOf(key)
    if (asOf !== undefined) wantAsOf(name, asOf)
    return name
  }

  #decode(request: RedisRequest, row: Buffer | null): StoredEntry | KvError | undefined {
    try {
      return row === null ? undefined : decodeRow(row, this.#options.runtime.now())
    } catch (error) {
      return toKvError(error, request)
    }
  }
}

/** The same request for one key of it. Without object spread, which takes longer than the rest of a read. */
export function ofKey({ operation, effect, timeoutMs }: RedisRequest, key: string): RedisRequest {
  return { operation, effect, timeoutMs, key }
}

/** The same request, `tookMs` later. */
function restOf(request: RedisRequest, tookMs: number): RedisRequest {
  return { ...request, timeoutMs: request.timeoutMs - tookMs }
}
