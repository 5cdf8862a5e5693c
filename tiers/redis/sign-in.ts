import type { Redis } from "ioredis"
import type { Timer } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { CONNECT_PATIENCE_MS, isCluster, nodesOf, type RedisClient } from "./client.ts"
import { NoCredentials } from "./errors.ts"
import type { ClientTiming, RedisCredentials, RedisSettings } from "./settings.ts"

/** The part of the time of credentials after which they are renewed. */
const RENEWAL = 3 / 4
/** Shortest time between two renewals, ms. */
const LEAST_RENEWAL_MS = 1_000

export interface SignIn {
  /** Asks for credentials, with which the client then makes its connections. Rejects with {@link NoCredentials} if there are none in time. */
  renew(): Promise<void>
  stop(): void
}

/** Signs a client in with the credentials that a function gives. */
export function signIn(
  client: RedisClient,
  ask: NonNullable<RedisSettings["credentials"]>,
  { runtime, requestTimeoutMs }: ClientTiming,
): SignIn {
  const patienceMs = Math.min(requestTimeoutMs, CONNECT_PATIENCE_MS)
  let renewal: Timer | undefined
  let stopped = false
  let renewing: Promise<void> | undefined

  /** Once for all connections that are lost together. */
  const renew = () => {
    renewing ??= askAndUse()
      .catch((error: unknown) => {
        throw new NoCredentials(error)
      })
      .finally(() => {
        renewing = undefined
      })
    return renewing
  }
  const askAndUse = async () => {
    const asked = Promise.resolve().then(ask)
    const credentials = await within(runtime, asked, patienceMs, () => new Error("no credentials in time"))
    renewal?.cancel()
    if (stopped) return
    use(client, credentials)
    const { expiresAt } = credentials
    if (expiresAt === undefined) return
    renewIn(Math.max(LEAST_RENEWAL_MS, (expiresAt - runtime.now()) * RENEWAL))
  }
  const renewIn = (delayMs: number) => {
    renewal = runtime.setTimer(() => {
      const renewed = renew().then(() => {
        for (const node of nodesOf(client)) authenticate(node)
      })
      // The present credentials may be good for a while.
      renewed.catch(() => {
        if (!stopped) renewIn(LEAST_RENEWAL_MS)
      })
    }, delayMs)
  }
  return {
    renew,
    stop() {
      stopped = true
      renewal?.cancel()
    },
  }
}

/** ioredis reads these options at each connect. Nodes of a cluster are made with the first, and have options of their own. */
function use(client: RedisClient, { username, password }: RedisCredentials): void {
  const options = isCluster(client) ? [client.options.redisOptions ?? {}] : []
  for (const to of [...options, ...nodesOf(client).map((node) => node.options)]) {
    Object.assign(to, { username, password })
  }
}

function authenticate(node: Redis): void {
  if (node.status !== "ready") return
  const { username, password = "" } = node.options
  const answer = username === undefined ? node.auth(password) : node.auth(username, password)
  // The connection keeps the rights that it has. The next one fails with the reason.
  answer.catch(() => {})
}
