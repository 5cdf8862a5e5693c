import type { Redis } from "ioredis"
import type { Timer } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { CONNECT_PATIENCE_MS, isCluster, nodesOf, type RedisClient } from "./client.ts"
import { ServerClock } from "./clock.ts"
import { connectionError, isFatal, type RedisRequest } from "./errors.ts"
import { closeNow, NO_ANSWER, watchOverdue } from "./overdue.ts"
import { askServer } from "./server.ts"
import type { ClientTiming, RedisSettings } from "./settings.ts"
import { type SignIn, signIn } from "./sign-in.ts"

/** A client of our own that is connected, or will be again: see {@link keepConnected}. */
export interface Connected {
  readonly client: RedisClient
  /** Whether commands can be sent. */
  isReady(): boolean
  /**
   * Resolves when commands can be sent; if `lazily`, after a failed attempt to connect, too. Rejects after the time-out, or on a failure
   * that waiting cannot repair.
   */
  ready(lazily: boolean): Promise<void>
  /** The reason why there is no connection now. */
  lastError(): unknown
  /** What is known of the clock of the server; of a cluster nothing. */
  readonly clock: ServerClock
  /** Asks which server this is, for {@link clock}. */
  identify(): Promise<void>
  /** Call it before a command is sent beside others: the commands of one turn of the event loop are written together. */
  gather(): void
  /** How many commands are without an answer. */
  underWay(): number
  /** Call it after a command is sent: it keeps the process alive until {@link end}. */
  begin(): void
  end(): void
  /** Call it when a command has got no answer within `limitMs`. */
  giveUp(effect: RedisRequest["effect"], limitMs: number): void
  disconnect(): void
}

/** Longest wait before the first attempt to reconnect, ms. Each further attempt doubles it. */
const BACKOFF_BASE_MS = 100
/** With {@link CONNECT_PATIENCE_MS} it bounds the time until a server that is back is used again: 2 s. */
const BACKOFF_MAX_MS = 500
/** A server in use is asked whether it is still a primary at intervals of half of this to the whole, ms. */
const ROLE_CHECK_MS = 5_000
/** A read with a shorter limit is given up without closing the connection, whose other commands may have more time, ms. */
const SHORT_READ_MS = 1_000

/**
 * Connects the client, and reconnects it after a wait with jitter. ioredis could reconnect itself, but its sockets and timers would keep
 * the process alive. Here only commands keep it alive.
 *
 * - A connection on which a command is not answered in time is closed, see {@link watchOverdue}. A write that is given up closes it at
 *   once, so that what has not been delivered never is.
 * - A server that is a replica is not used: its data may be old. A primary becomes a replica without a word to its clients, so it is
 *   asked from time to time. (Of a cluster, a replica refuses reads.)
 */
export function keepConnected(
  client: RedisClient,
  timing: ClientTiming,
  credentials?: RedisSettings["credentials"],
): Connected {
  const { runtime, requestTimeoutMs, connectTimeoutMs } = timing
  const waiting = new Set<Waiter>()
  const clock = new ServerClock(runtime)
  let lastError: unknown
  let attempts = 0
  let reconnect: Timer | undefined
  let roleCheck: Timer | undefined
  /** Whether the server has been asked what it is. */
  let admitted = false
  let asking = 0
  let done = false
  let underWay = 0

  const patienceMs = Math.min(requestTimeoutMs, CONNECT_PATIENCE_MS)
  const isReady = () => admitted && client.status === "ready"
  const overdue = watchOverdue(runtime, patienceMs, () => {
    if (underWay + asking === 0 && isReady()) return []
    return nodesOf(client).map((node) => [
      node,
      admitted && node.status === "ready" ? requestTimeoutMs : patienceMs,
    ])
  })

  const settle = (end: (waiter: Waiter) => void, which: (waiter: Waiter) => boolean = () => true) => {
    for (const waiter of [...waiting].filter(which)) {
      waiting.delete(waiter)
      end(waiter)
    }
  }
  const signedIn = credentials && signIn(client, credentials, timing)
  const failed = (error: unknown) => {
    lastError ??= error
  }
  const connect = () => {
    overdue.watch()
    if (signedIn === undefined) client.connect().catch(failed)
    else void connectSignedIn(signedIn)
  }
  const connectSignedIn = async ({ renew }: SignIn) => {
    try {
      await renew()
    } catch (error) {
      lastError = error
      reconnectLater()
      return
    }
    if (!done) client.connect().catch(failed)
  }
  const note = (error: unknown) => {
    lastError = error
    if (!isFatal(error)) return
    settle(({ reject }) => reject(connectionError(error, "open")))
    // ioredis would continue in database 0 if it cannot select the configured database.
    if (!isReady()) client.disconnect()
  }
  const identify = async () => {
    const { stream } = nodeOf(client) ?? {}
    const askedAt = runtime.monotonic()
    asking++
    overdue.watch()
    try {
      const { isReplica, identity, timeMs } = await askServer(client)
      if (isReplica && timing.role === "primary") throw new Error("READONLY the server is a replica")
      clock.identify(identity)
      clock.learn(timeMs, askedAt)
    } catch (error) {
      clock.identify(undefined)
      if (client.status !== "ready" || nodeOf(client)?.stream !== stream) throw error
      note(error)
      client.disconnect()
      throw error
    } finally {
      asking--
    }
  }
  const admit = async () => {
    await identify()
    admitted = true
    attempts = 0
    lastError = undefined
    settle(({ resolve }) => resolve())
  }
  client.on("error", note)
  client.on("node error", note)
  client.on("ready", () => void admit().catch(() => {}))
  client.on("close", () => {
    admitted = false
    clock.identify(undefined)
  })
  const reconnectLater = () => {
    if (done) return
    settle(
      ({ resolve }) => resolve(),
      ({ lazily }) => lazily,
    )
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempts++)
    reconnect = runtime.setTimer(connect, runtime.random() * bound)
  }
  client.on("end", reconnectLater)
  const renewAfterLoss = () => {
    if (!done) signedIn?.renew().catch(note)
  }
  forEachNode(client, (node) => {
    const unref = () => node.stream?.unref()
    // ioredis creates the socket one turn after the event; if it asks a sentinel first, later.
    node.on("connecting", () => setImmediate(unref))
    node.on("connect", unref)
    if (isCluster(client) && signedIn !== undefined) node.on("close", renewAfterLoss)
  })

  const processHold = setInterval(() => {}, 2 ** 30).unref()
  const checkRole = () => {
    roleCheck = undefined
    if (isReady()) void identify().catch(() => {})
  }
  const begin = () => {
    if (underWay++ === 0) processHold.ref()
    overdue.watch()
    roleCheck ??= runtime.setTimer(checkRole, ROLE_CHECK_MS * (1 - runtime.random() / 2))
  }
  const end = () => {
    if (--underWay === 0) processHold.unref()
  }
  connect()

  return {
    client,
    isReady,
    async ready(lazily) {
      if (isReady()) return
      begin()
      try {
        const ready = new Promise<void>((resolve, reject) => waiting.add({ resolve, reject, lazily }))
        await within(runtime, ready, connectTimeoutMs, () => connectionError(lastError, "open"))
      } finally {
        end()
      }
    },
    lastError: () => lastError,
    clock,
    identify,
    gather: gatherWrites(client),
    underWay: () => underWay,
    begin,
    end,
    giveUp(effect, limitMs) {
      if (effect === "read" && limitMs < Math.min(requestTimeoutMs, SHORT_READ_MS)) return
      const node = nodeOf(client)
      if (node === undefined) overdue.closeAfter(limitMs)
      else {
        lastError = new Error(NO_ANSWER)
        closeNow(node.stream)
      }
    },
    disconnect() {
      done = true
      signedIn?.stop()
      reconnect?.cancel()
      roleCheck?.cancel()
      overdue.stop()
      clearInterval(processHold)
      if (client.status !== "end") client.disconnect()
    },
  }
}

interface Waiter {
  resolve(): void
  reject(error: unknown): void
  lazily: boolean
}

/** The only connection of a client; `undefined` for a cluster. */
function nodeOf(client: RedisClient): Redis | undefined {
  return isCluster(client) ? undefined : client
}

function forEachNode(client: RedisClient, visit: (node: Redis) => void): void {
  if (isCluster(client)) client.on("+node", visit)
  else visit(client)
}

/** Writes the commands of one turn of the event loop together: one system call for each would take more time than everything else. */
function gatherWrites(client: RedisClient): () => void {
  let gathering = false
  return () => {
    if (gathering) return
    gathering = true
    const streams = nodesOf(client).flatMap(({ stream }) => stream ?? [])
    for (const stream of streams) stream.cork()
    process.nextTick(() => {
      gathering = false
      for (const stream of streams) stream.uncork()
    })
  }
}
