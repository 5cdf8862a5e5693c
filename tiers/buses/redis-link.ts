import type { Cluster, Redis } from "ioredis"
import { isCluster, type loadIoRedis, type RedisClient } from "../redis/client.ts"
import { isFatal } from "../redis/errors.ts"
import { hidden } from "../redis/hidden.ts"
import { closeNow } from "../redis/overdue.ts"
import { askServer } from "../redis/server.ts"
import type { Runtime, Timer } from "../runtime.ts"
import { within } from "../util/deadline.ts"

type IoRedis = Awaited<ReturnType<typeof loadIoRedis>>

export interface LinkOptions {
  sdk: IoRedis
  /** Has the address and the credentials. Nothing is sent over it. */
  client: RedisClient
  channel: string
  runtime: Runtime
  /** Longest time of the connecting, ms. */
  connectTimeoutMs: number
  /** Longest time of a publication, and until its frames come back, ms. */
  requestTimeoutMs: number
  /** Ends the connecting and the link. */
  signal: AbortSignal
  onFrame: (frame: Buffer) => void
}

/** A subscription in force, and a connection that publishes, to the same server. If one of them is lost, both are closed. */
export interface RedisLink {
  /** Resolves when the link is no longer usable, with the reason. */
  readonly ended: Promise<unknown>
  publish(frames: readonly Uint8Array[]): Promise<void>
}

/** Commands of ordinary and of sharded publishing and subscribing. */
const ORDINARY = { subscribe: "subscribe", publish: "publish", message: "messageBuffer" } as const
const SHARDED = { subscribe: "ssubscribe", publish: "spublish", message: "smessageBuffer" } as const

/** Options of every connection: it is made once, queues nothing, and subscribes to nothing by itself. */
const ONE_CONNECTION = {
  lazyConnect: true,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
  connectionName: "tiered-kv-bus",
  // The databases of a server share its channels.
  db: 0,
  keyPrefix: "",
  readOnly: false,
}

/** The server is asked whether it is still a primary at intervals of half of this to the whole, ms. */
const ROLE_CHECK_MS = 5_000

/** What a publisher sends to see whether it may. Receivers ignore it. */
const PROBE = Buffer.alloc(0)

/**
 * Connects to the server of the channel and subscribes. Rejects as ioredis does.
 *
 * In a cluster everybody uses the primary that has the slot of the channel, so that all receive the frames of all in one order. Redis 7
 * passes frames on to no other node and tells subscribers when the slot has moved; older versions are asked before each publication.
 */
export async function connectLink(options: LinkOptions): Promise<RedisLink> {
  const { runtime, client, connectTimeoutMs, channel, sdk, signal } = options
  const made: RedisClient[] = []
  let lastError: unknown
  let discarded = false
  let end: (reason: unknown) => void = () => {}
  const ended = new Promise<unknown>((resolve) => {
    end = resolve
  })
  const discard = () => {
    discarded = true
    for (const one of made) abandon(one)
  }
  const use = <Client extends RedisClient>(one: Client): Client => {
    if (discarded) throw new Error("the connecting has been given up")
    made.push(one)
    one.on("error", (error: unknown) => {
      if (!isFatal(lastError)) lastError = error
    })
    return one
  }
  const connection = async (node: Redis) => {
    const one = use(node.duplicate(ONE_CONNECTION))
    keepNothingAlive(one)
    await one.connect()
    return one
  }
  const connect = async (): Promise<Connections> => {
    const node = isCluster(client) ? await ownerOf(sdk, use(topologyOf(client)), channel) : client
    const [publisher, subscriber] = await Promise.all([connection(node), connection(node)])
    for (const one of made) if (isCluster(one)) one.disconnect()
    const { isReplica } = await askServer(publisher)
    if (isReplica) throw new Error("READONLY the server is a replica")
    const commands = await subscribe(subscriber, channel, isCluster(client))
    return { publisher, subscriber, commands, asksForSlot: isCluster(client) && commands === ORDINARY }
  }
  try {
    signal.throwIfAborted()
    signal.addEventListener("abort", discard)
    const late = () => new Error("the server does not answer")
    const link = new Link(options, await within(runtime, connect(), connectTimeoutMs, late), (reason) => {
      discard()
      end(reason)
    })
    await within(runtime, link.send([PROBE]), connectTimeoutMs, late)
    return { ended, publish: (frames) => link.publish(frames) }
  } catch (error) {
    discard()
    throw isRefusal(error) && !isFatal(lastError) ? error : (lastError ?? error)
  } finally {
    void ended.then(() => signal.removeEventListener("abort", discard))
  }
}

interface Connections {
  readonly publisher: Redis
  readonly subscriber: Redis
  readonly commands: typeof ORDINARY | typeof SHARDED
  /** Whether the server has to be asked whether it still has the slot of the channel. */
  readonly asksForSlot: boolean
}

class Link {
  readonly #options: LinkOptions
  readonly #connections: Connections
  readonly #onEnd: (reason: unknown) => void
  /** The last frame of the newest publication, until it comes back. */
  #awaited: Uint8Array | undefined
  #overdue: Timer | undefined
  #roleCheck: Timer | undefined
  #hasEnded = false

  constructor(options: LinkOptions, connections: Connections, onEnd: (reason: unknown) => void) {
    this.#options = options
    this.#connections = connections
    this.#onEnd = onEnd
    const { publisher, subscriber, commands } = connections
    subscriber.on(commands.message, (_channel: Buffer, frame: Buffer) => this.#receive(frame))
    // A server that ends a subscription by itself makes ioredis emit an error.
    for (const one of [publisher, subscriber]) {
      one.on("error", (error: unknown) => this.end(error))
      one.on("close", () => this.end(new Error("the connection was closed")))
    }
    this.#checkRoleLater()
  }

  /** Rejects, and ends the link, if the server does not accept all frames in time, so that what has not been delivered never is. */
  async publish(frames: readonly Uint8Array[]): Promise<void> {
    const { runtime, requestTimeoutMs } = this.#options
    const last = frames.at(-1)
    this.#overdue?.cancel()
    this.#awaited = last
    try {
      await within(
        runtime,
        this.send(frames),
        requestTimeoutMs,
        () => new Error("the server does not answer"),
      )
    } catch (error) {
      this.end(error)
      throw error
    }
    if (this.#awaited === undefined || this.#hasEnded) return
    const missing = () => this.end(new Error("a frame that the server accepted has not come back"))
    this.#overdue = runtime.setTimer(missing, requestTimeoutMs)
  }

  async send(frames: readonly Uint8Array[]): Promise<void> {
    const { publisher, commands, asksForSlot } = this.#connections
    const { channel } = this.#options
    const pipeline = publisher.pipeline()
    if (asksForSlot) pipeline.exists(channel)
    for (const frame of frames) pipeline[commands.publish](channel, hidden(asBuffer(frame)))
    const answers = await pipeline.exec()
    if (answers === null) throw new Error("the server has accepted no frame")
    for (const [error] of answers) if (error !== null) throw error
  }

  end(reason: unknown): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#overdue?.cancel()
    this.#roleCheck?.cancel()
    this.#onEnd(reason)
  }

  #receive(frame: Buffer): void {
    if (this.#hasEnded || frame.length === PROBE.length) return
    if (this.#awaited !== undefined && frame.equals(this.#awaited)) {
      this.#awaited = undefined
      this.#overdue?.cancel()
    }
    this.#options.onFrame(frame)
  }

  #checkRoleLater(): void {
    const { runtime } = this.#options
    const delayMs = ROLE_CHECK_MS * (1 - runtime.random() / 2)
    this.#roleCheck = runtime.setTimer(() => {
      const asked = askServer(this.#connections.publisher).then(({ isReplica }) => {
        if (isReplica) this.end(new Error("READONLY the server is a replica"))
        else if (!this.#hasEnded) this.#checkRoleLater()
      })
      asked.catch((error: unknown) => this.end(error))
    }, delayMs)
  }
}

/** Before Redis 7 there is no sharded publishing. */
async function subscribe(subscriber: Redis, channel: string, cluster: boolean) {
  if (cluster) {
    try {
      await subscriber.ssubscribe(channel)
      return SHARDED
    } catch (error) {
      if (!(error instanceof Error && /unknown command/i.test(error.message))) throw error
    }
  }
  await subscriber.subscribe(channel)
  return ORDINARY
}

/** A client that learns which node has which slots. */
function topologyOf(client: Cluster): Cluster {
  return client.duplicate([], { lazyConnect: true, clusterRetryStrategy: () => null, keyPrefix: "" })
}

async function ownerOf(sdk: IoRedis, topology: Cluster, channel: string): Promise<Redis> {
  topology.on("+node", keepNothingAlive)
  await topology.connect()
  const slot = new sdk.Command("get", [channel]).getSlot()
  const [owner] = topology.slots[slot] ?? []
  const node = topology.nodes("master").find(({ options: { host, port } }) => `${host}:${port}` === owner)
  if (node === undefined) throw new Error("CLUSTERDOWN nobody serves the slot of the channel")
  return node
}

function keepNothingAlive(node: Redis): void {
  const unref = () => node.stream?.unref()
  // ioredis creates the socket one turn after the event; if it asks a sentinel first, later.
  node.on("connecting", () => setImmediate(unref))
  node.on("connect", unref)
}

function abandon(client: RedisClient): void {
  if (!isCluster(client) && client.stream !== undefined) closeNow(client.stream)
  if (client.status !== "end") client.disconnect()
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.name === "ReplyError"
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
