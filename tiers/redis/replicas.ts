import { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import { type RedisConnection, redisConnection } from "./connection.ts"
import type { RedisRequest } from "./errors.ts"
import { distrust, hasAsOf, Replication } from "./replication.ts"
import { type ClientTiming, DEFAULT_MAX_LAG_MS, type RedisSettings } from "./settings.ts"

/** The replicas of a backend. */
export interface Replicas {
  /** Waits for the first attempt to connect to each. */
  open(): Promise<void>
  close(): Promise<void>
  /** As `Backend.replicatedUntil`. */
  until(): number | undefined
  /**
   * What `ask` gets from a replica that has everything from before `asOf`; `undefined` if none has, or it fails, or does not answer in a
   * part of the time of the request.
   */
  tryAsOf<T>(
    asOf: number,
    request: RedisRequest,
    ask: (replica: RedisConnection, request: RedisRequest) => Promise<T>,
  ): Promise<T | undefined>
}

/** Leaves most of the time of a request to the primary. */
const SHARE = 1 / 3

export function redisReplicas(
  { replicas: { nodes, maxLagMs = DEFAULT_MAX_LAG_MS } = {}, ...settings }: RedisSettings,
  timing: ClientTiming,
  primary: RedisConnection,
): Replicas {
  const { runtime } = timing
  const places = nodes === undefined ? [settings] : nodes.map((node) => ({ ...settings, nodes: [node] }))
  const connections = places.map((place) =>
    redisConnection(place, { ...timing, opensLazily: true, role: "replica" }),
  )
  let replication = newReplication()
  function newReplication() {
    return new Replication({
      runtime,
      maxLagMs,
      patienceMs: timing.requestTimeoutMs,
      primary: () => primary.idle(),
      replicas: () => connections.flatMap((connection) => connection.idle() ?? []),
    })
  }

  return {
    async open() {
      replication.close()
      replication = newReplication()
      await Promise.all(connections.map((connection) => connection.open()))
    },
    async close() {
      replication.close()
      await Promise.all(connections.map((connection) => connection.close()))
    },
    until: () => replication.until(),

    async tryAsOf(asOf, request, ask) {
      const replica = oneOf(
        runtime,
        connections.filter((connection) => isAble(connection, asOf)),
      )
      if (replica === undefined) return undefined
      try {
        return await ask(replica, { ...request, timeoutMs: Math.min(request.timeoutMs * SHARE, maxLagMs) })
      } catch (error) {
        if (!(error instanceof KvError)) throw error
        const client = replica.idle()
        if (client !== undefined) distrust(client)
        return undefined
      }
    },
  }
}

function isAble(connection: RedisConnection, asOf: number): boolean {
  const client = connection.idle()
  return client !== undefined && hasAsOf(client, asOf)
}

function oneOf<T>(runtime: Runtime, items: readonly T[]): T | undefined {
  return items[Math.floor(runtime.random() * items.length)]
}
