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
  /** Resolves when commands can be sent. Rejects after the time-out, or on a failure that waiting cannot repair. */
  ready(): Promise<void>
  /** The reason why there is no connection now. */
  lastError(): unknown
  /** Call it before a command is sent: the commands of one turn of the event loop are written together. */
  gather(): void
  /** Call it after a command is sent: it keeps the process alive until {@link end}. */
  begin(): void
  end(): void
  disconnect(): void
}

/** Longest wait before the first attempt to reconnect, ms. Each further attempt doubles it. */
const BACKOFF_BASE_MS = 100
const BACKOFF_MAX_MS = 3_000

/**
 * Connects the client, and reconnects it after a wait with jitter. ioredis could reconnect itself, but its sockets and timers would keep
 * the process alive. Here only commands keep it alive.
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
    // ioredis would continue in database 0 if it cannot select the configured database.
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
    // ioredis creates the socket one turn after the event.
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
