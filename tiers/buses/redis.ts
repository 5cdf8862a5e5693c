import { KvError } from "../errors.ts"
import { CONNECT_PATIENCE_MS, isClient, loadIoRedis, newClient, type RedisClient } from "../redis/client.ts"
import { connectionError, isFatal, KIND } from "../redis/errors.ts"
import type { ClientTiming, RedisSettings } from "../redis/settings.ts"
import { signIn } from "../redis/sign-in.ts"
import { resolveTarget } from "../redis/target.ts"
import { systemRuntime, type Timer } from "../runtime.ts"
import type { Bus, Subscriber } from "./bus.ts"
import { type BusOptions, checkBusOptions } from "./options.ts"
import { connectLink, type RedisLink } from "./redis-link.ts"

/** Longest time of one attempt to connect and subscribe, ms: the two connections, then the subscription and a first publication. */
const ATTEMPT_MS = 2 * CONNECT_PATIENCE_MS
/** Longest wait before the first attempt to connect again, ms. Each further attempt doubles it. */
const BACKOFF_BASE_MS = 100
const BACKOFF_MAX_MS = 1_000

/**
 * A bus over the channels of Redis or Valkey: `PUBLISH` and `SUBSCRIBE`, in a cluster from Redis 7 on `SPUBLISH` and `SSUBSCRIBE`. It needs
 * ioredis. It does not keep the process alive.
 *
 * - It has two connections of its own to one server, in a cluster to the primary that has the slot of the channel. It stores nothing, and a
 *   server that evicts, has no memory left or persists nothing is as good as any.
 * - A connection that ends, a publication that is not answered within `leaseMs`, and one whose frames do not come back by then, end both
 *   connections. The bus connects again within 1 s, if it can.
 * - A server that has become a replica is left within 5 s.
 *
 * @param target a URL or settings as `redis()` takes them, or an ioredis client: then the connections are duplicates of it, and it is left
 * as it is. The prefix and the database of a URL have no meaning for a bus.
 * @throws {KvError} `INVALID_OPTION`; `BINDING_INVALID` if the URL is not valid, or the settings contradict each other
 */
export function redisBus(target: RedisClient | RedisSettings | string, options: BusOptions = {}): Bus {
  const { channel, heartbeatMs, leaseMs } = checkBusOptions(options)
  const { source, description } = resolveTarget(target, {})
  let connection: Connection | undefined
  return {
    kind: KIND,
    traits: { target: description, maxFrameBytes: 65_536, heartbeatMs, leaseMs },
    async open(subscriber) {
      connection = new Connection(source, channel ?? subscriber.channel, leaseMs, subscriber)
      await connection.open()
    },
    async publish(frames) {
      await connection?.publish(frames)
    },
    async close() {
      connection?.close()
    },
  }
}

/** Keeps a link, and makes another one when it is lost. */
class Connection {
  readonly #source: RedisClient | RedisSettings
  readonly #channel: string
  readonly #leaseMs: number
  readonly #subscriber: Subscriber
  #link: RedisLink | undefined
  #lastError: unknown
  #attempts = 0
  #retry: Timer | undefined
  readonly #closing = new AbortController()

  constructor(source: RedisClient | RedisSettings, channel: string, leaseMs: number, subscriber: Subscriber) {
    this.#source = source
    this.#channel = channel
    this.#leaseMs = leaseMs
    this.#subscriber = subscriber
  }

  async open(): Promise<void> {
    await whileAlive(async () => {
      try {
        await this.#connect()
      } catch (error) {
        if (error instanceof KvError || isFatal(error)) {
          this.close()
          throw this.#failure(error)
        }
        this.#failed(error)
      }
    })
  }

  publish(frames: readonly Uint8Array[]): Promise<void> {
    const link = this.#link
    if (link === undefined) return Promise.reject(connectionError(this.#lastError, "publish"))
    return whileAlive(() => link.publish(frames))
  }

  close(): void {
    this.#closing.abort()
    this.#retry?.cancel()
  }

  async #connect(): Promise<void> {
    const { signal } = this.#closing
    const sdk = await loadIoRedis()
    const timing: ClientTiming = {
      runtime: systemRuntime,
      requestTimeoutMs: this.#leaseMs,
      connectTimeoutMs: ATTEMPT_MS,
      opensLazily: true,
      role: "primary",
    }
    const source = this.#source
    const client = isClient(source) ? source : newClient(sdk, source, timing)
    if (!isClient(source) && source.credentials !== undefined) {
      const { renew, stop } = signIn(client, source.credentials, timing)
      await renew().finally(stop)
    }
    const link = await connectLink({
      sdk,
      client,
      channel: this.#channel,
      runtime: systemRuntime,
      connectTimeoutMs: ATTEMPT_MS,
      requestTimeoutMs: this.#leaseMs,
      signal,
      onFrame: (frame) => {
        // Not before the subscriber knows that the subscription is in force.
        if (this.#link !== undefined) this.#subscriber.message(frame)
      },
    })
    this.#link = link
    this.#attempts = 0
    this.#lastError = undefined
    void link.ended.then((reason) => this.#lost(reason))
    this.#subscriber.alive()
  }

  #lost(reason: unknown): void {
    this.#link = undefined
    if (this.#closing.signal.aborted) return
    this.#subscriber.lost()
    this.#failed(reason)
  }

  #failed(error: unknown): void {
    if (this.#closing.signal.aborted) return
    this.#lastError = error
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** this.#attempts++)
    this.#retry = systemRuntime.setTimer(
      () => void this.#connect().catch((error: unknown) => this.#failed(error)),
      systemRuntime.random() * bound,
    )
  }

  #failure(error: unknown): KvError {
    if (error instanceof KvError) return error
    if (!isNoPermission(error)) return connectionError(error, "open")
    const channel = this.#channel
    const wanted = `ACL SETUSER … &${channel.startsWith("tiered-kv:") ? "tiered-kv:*" : channel} ${COMMANDS.join(" ")}`
    const message = `the user may not use the channel ${JSON.stringify(channel)}: ${wanted}`
    return new KvError("ACCESS_DENIED", message, { operation: "open", backend: KIND, cause: error })
  }
}

/** The permissions of the server's user, besides the channel; in a cluster also to read a key of the name of the channel before Redis 7. */
const COMMANDS = [
  ...["+subscribe", "+publish", "+ssubscribe", "+spublish"],
  ...["+info", "+time", "+client|setname", "+cluster|slots", "+cluster|info"],
] as const

function isNoPermission(error: unknown): boolean {
  return error instanceof Error && /\bNOPERM\b/.test(error.message)
}

/** Keeps the process alive until `work` has settled. Sockets and timers do not. */
async function whileAlive<T>(work: () => Promise<T>): Promise<T> {
  const hold = setInterval(() => {}, 2 ** 30)
  try {
    return await work()
  } finally {
    clearInterval(hold)
  }
}
