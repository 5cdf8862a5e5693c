import type { RedisClient } from "./client.ts"
import { isCluster } from "./client.ts"

/** What a server says of itself. */
export interface ServerFacts {
  isReplica: boolean
  /**
   * The same as long as the server has been a primary without interruption: after a restart it has another `run_id`, after a time as a
   * replica another `master_replid`. `undefined` if the server does not tell.
   */
  identity: string | undefined
  /** Its time, Unix ms. */
  timeMs: number
}

const NOTHING: ServerFacts = { isReplica: false, identity: undefined, timeMs: 0 }

/** Asks the server of a client, which is not a cluster's. All facts are unknown if `INFO` or `TIME` is not permitted. */
export async function askServer(client: RedisClient): Promise<ServerFacts> {
  if (isCluster(client)) return NOTHING
  try {
    const [server, replication, [seconds, micros]] = await Promise.all([
      client.info("server"),
      client.info("replication"),
      client.time(),
    ])
    return factsIn(server + replication, Number(seconds) * 1_000 + Number(micros) / 1_000)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("NOPERM")) return NOTHING
    throw error
  }
}

function factsIn(info: string, timeMs: number): ServerFacts {
  const field = (name: string) => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1]
  const [run, replication] = ["run_id", "master_replid"].map(field)
  const identity = run === undefined || replication === undefined ? undefined : `${run}:${replication}`
  return { isReplica: field("role") === "slave", identity, timeMs }
}
