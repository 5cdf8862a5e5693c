import type { Redis } from "ioredis"
import type { Runtime } from "../runtime.ts"
import { caughtUp, hasCaughtUp } from "./caught-up.ts"
import { isCluster, primaryNodes, type RedisClient, replicaNodes } from "./client.ts"

/** Marks in the time that a replica may lag. */
const MARKS = 4
/** How long a replica that does not catch up keeps its connection, and how often a cluster is asked for its nodes, ms. */
const RENEWAL_MS = 2_000

/** How far a server is in the changes that replicas follow. */
interface Position {
  /** Names the changes: another primary, or the same one after a failover, has others. */
  readonly replid: string
  /** Bytes of the changes that it has applied. */
  readonly offset: number
  readonly isReplica: boolean
}

/** The position of a server; `undefined` if it does not tell, or has lost its primary. */
async function positionOf(node: Redis): Promise<Position | undefined> {
  const info = await node.info("replication")
  const field = (name: string) => new RegExp(`^${name}:(\\S+)`, "m").exec(info)?.[1]
  const replid = field("master_replid")
  const isReplica = field("role") === "slave"
  const offset = Number(field(isReplica ? "slave_repl_offset" : "master_repl_offset"))
  if (replid === undefined || Number.isNaN(offset)) return undefined
  return isReplica && field("master_link_status") !== "up" ? undefined : { replid, offset, isReplica }
}

/** Whether a replica that `client` leads to has everything from before `asOf`. */
export function hasAsOf(client: RedisClient, asOf: number): boolean {
  return replicaNodes(client).some((node) => hasCaughtUp(node, asOf))
}

/** Nothing is known of these replicas until they tell. */
export function distrust(client: RedisClient): void {
  for (const node of replicaNodes(client)) caughtUp.delete(node)
}

/** Forgets what is known of a connection when it closes, because the next may lead to another server. */
const watched = new WeakSet<Redis>()

export interface ReplicationOptions {
  runtime: Runtime
  maxLagMs: number
  /** Longest time that a replica has to tell its position, ms. */
  patienceMs: number
  /** The client of the primaries, and those of the replicas, which are connected now. */
  primary: () => RedisClient | undefined
  replicas: () => readonly RedisClient[]
}

/**
 * Follows how far replicas are behind their primaries, while somebody asks: four times in `maxLagMs` a primary says how many bytes of changes
 * there are. Every write that it had applied by then is among them. A replica that follows the same changes and has applied as many has
 * everything from before the primary was asked. A new connection, which may lead to another server, or to one that was started anew,
 * begins with nothing.
 */
export class Replication {
  readonly #options: ReplicationOptions
  /** When the primaries were asked, monotonic ms, and their offsets by `replid`; the newest first. */
  #marks: { readonly at: number; readonly offsets: ReadonlyMap<string, number> }[] = []
  #until: number | undefined
  #timer: { cancel(): void } | undefined
  #isUsed = false
  #closed = false
  /** The questions without an answer, by node, and since when; monotonic ms. */
  readonly #asking = new WeakMap<Redis, number>()
  /** When a cluster was last asked for its nodes, or another replica had last caught up; monotonic ms. */
  readonly #renewedAt = new WeakMap<RedisClient, number>()

  constructor(options: ReplicationOptions) {
    this.#options = options
  }

  /** As `Backend.replicatedUntil`. */
  until(): number | undefined {
    const { runtime, maxLagMs } = this.#options
    this.#isUsed = true
    if (this.#timer === undefined && !this.#closed) this.#tick()
    const until = this.#until
    return until !== undefined && runtime.monotonic() - until <= maxLagMs ? until : undefined
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #tick(): void {
    const { runtime, maxLagMs } = this.#options
    this.#timer = undefined
    if (!this.#isUsed || this.#closed) return
    this.#isUsed = false
    this.#timer = runtime.setTimer(() => this.#tick(), maxLagMs / MARKS)
    void this.#mark()
  }

  async #mark(): Promise<void> {
    const { runtime, maxLagMs, primary, replicas } = this.#options
    const at = runtime.monotonic()
    const client = primary()
    if (client === undefined) return
    const offsets = new Map<string, number>()
    await Promise.all(
      primaryNodes(client).map(async (node) => {
        const position = await this.#ask(node)
        if (position?.isReplica === false) offsets.set(position.replid, position.offset)
      }),
    )
    this.#marks = [{ at, offsets }, ...this.#marks].filter((mark) => mark.at >= at - maxLagMs)
    for (const replica of replicas()) {
      for (const node of replicaNodes(replica)) void this.#look(node, replica)
      this.#renew(replica, at)
    }
  }

  async #look(node: Redis, client: RedisClient): Promise<void> {
    if (!watched.has(node)) {
      watched.add(node)
      node.on("close", () => caughtUp.delete(node))
    }
    const { runtime, patienceMs } = this.#options
    const since = this.#asking.get(node)
    // Nothing else may be under way on the connection, and then nothing else closes it.
    if (since !== undefined && runtime.monotonic() - since > patienceMs) node.disconnect()
    const asking = this.#ask(node)
    if (asking === undefined) return
    const position = await asking
    if (!position?.isReplica) {
      caughtUp.delete(node)
      return
    }
    const { replid, offset } = position
    const mark = this.#marks.find(
      ({ offsets }) => (offsets.get(replid) ?? Number.POSITIVE_INFINITY) <= offset,
    )
    if (mark === undefined) return
    caughtUp.set(node, Math.max(mark.at, caughtUp.get(node) ?? mark.at))
    this.#until = Math.max(mark.at, this.#until ?? mark.at)
    if (!isCluster(client)) this.#renewedAt.set(client, mark.at)
  }

  /** Asks a server for its position, unless it still owes an answer. Never rejects. */
  #ask(node: Redis): Promise<Position | undefined> | undefined {
    if (this.#asking.has(node)) return undefined
    this.#asking.set(node, this.#options.runtime.monotonic())
    return positionOf(node)
      .catch(() => undefined)
      .finally(() => this.#asking.delete(node))
  }

  /** Which servers are replicas changes, in a cluster, and behind an address or a sentinel. */
  #renew(client: RedisClient, now: number): void {
    const since = this.#renewedAt.get(client) ?? now
    const isDue = now - since >= RENEWAL_MS
    if (isDue || since === now) this.#renewedAt.set(client, now)
    if (!isDue) return
    // ioredis forgets a node whose connection is lost until it asks the cluster for its nodes.
    if (isCluster(client)) client.refreshSlotsCache()
    else client.disconnect()
  }
}
