import type { Redis } from "ioredis"
import type { Timer } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { isCluster, nodesOf, type RedisClient } from "./client.ts"
import { connectionError, isFatal } from "./errors.ts"
import type { ClientTiming } from "./settings.ts"
import { watchSilence } from "./silence.ts"

/** A client of our own that is connected, or will be again: see {@link keepConnected}. */
export interface Connected {
  readonly client: RedisClient
  /** Resolves once commands can be sent; rejects when the time is up, or when waiting cannot mend what is wrong. */
  ready(): Promise<void>
  /** Why there is no connection at the moment. */
  lastError(): unknown
  /** A command is about to be sent: it leaves with the others of this turn of the event loop. */
  gather(): void
  /** A command has been sent: until its {@link end}, the process waits for it. */
  begin(): void
  end(): void
  disconnect(): void
}

/** The bound of the wait before the first attempt to reconnect, ms; it doubles with every further one. */
const BACKOFF_BASE_MS = 100
const BACKOFF_MAX_MS = 3_000

/**
 * Connects the client, and again whenever it has lost its connection, after a jittered wait. ioredis could do so itself, but
 * its sockets and timers would keep a script alive for as long as there is a server, or none. Here only commands do.
 */
export function keepConnected(client: RedisClient, timing: ClientTiming): Connected {
  const { runtime, connectTimeoutMs } = timing
  const waiting = new Set<Waiter>()
  let lastError: unknown
  let attempts = 0
  let reconnect: Timer | undefined
  let done = false
  let underWay = 0

  const silence = watchSilence(timing, () =>
    underWay > 0 || client.status !== "ready" ? nodesOf(client) : [],
  )
  const connect = () => {
    silence.watch()
    client.connect().catch((error: unknown) => {
      lastError ??= error
    })
  }
  const note = (error: unknown) => {
    lastError = error
    if (!isFatal(error)) return
    for (const { reject } of waiting) reject(connectionError(error, "open"))
    waiting.clear()
    // ioredis would go on in database 0 if the one that was asked for could not be selected.
    if (client.status !== "ready") client.disconnect()
  }
  client.on("error", note)
  client.on("node error", note)
  client.on("ready", () => {
    attempts = 0
    lastError = undefined
    for (const { resolve } of waiting) resolve()
    waiting.clear()
  })
  client.on("end", () => {
    if (done) return
    const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** attempts++)
    reconnect = runtime.setTimer(connect, runtime.random() * bound)
  })
  forEachNode(client, (node) => {
    // The socket is made a moment after the event.
    node.on("connecting", () => setImmediate(() => node.stream?.unref()))
  })

  const processHold = setInterval(() => {}, 2 ** 30).unref()
  const begin = () => {
    if (underWay++ === 0) processHold.ref()
    silence.watch()
  }
  const end = () => {
    if (--underWay === 0) processHold.unref()
  }
  connect()

  return {
    client,
    async ready() {
      if (client.status === "ready") return
      begin()
      try {
        const ready = new Promise<void>((resolve, reject) => waiting.add({ resolve, reject }))
        await within(runtime, ready, connectTimeoutMs, () => connectionError(lastError, "open"))
      } finally {
        end()
      }
    },
    lastError: () => lastError,
    gather: gatherWrites(client),
    begin,
    end,
    disconnect() {
      done = true
      reconnect?.cancel()
      silence.stop()
      clearInterval(processHold)
      if (client.status !== "end") client.disconnect()
    },
  }
}

interface Waiter {
  resolve(): void
  reject(error: unknown): void
}

function forEachNode(client: RedisClient, visit: (node: Redis) => void): void {
  if (isCluster(client)) client.on("+node", visit)
  else visit(client)
}

/** Lets the commands of one turn of the event loop leave together: a system call for each would cost more than all else. */
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
