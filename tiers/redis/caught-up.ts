import type { Redis } from "ioredis"

/** For each connection to a replica: it has everything that was applied before this moment, monotonic ms. */
export const caughtUp = new WeakMap<Redis, number>()
/** What is wanted of a command, by its first argument, and how ioredis has sent it. */
interface Want {
  readonly asOf: number
  isSent: boolean
  /** Whether it went to a replica that has what is wanted, without a detour. */
  isTrusted: boolean
}

const wanted = new WeakMap<object, Want>()

/** A command with this key may be answered by a replica that has everything from before `asOf`. */
export function wantAsOf(name: string | Buffer, asOf: number): void {
  if (typeof name === "object") wanted.set(name, { asOf, isSent: false, isTrusted: true })
}

/**
 * Whether the answer to a command of {@link wantAsOf} is one of a replica that has what is wanted. Over the client of the replicas of a cluster
 * it may be one of a primary, which that client knows for one, and which may have been replaced.
 */
export function isFromReplica(name: string | Buffer): boolean {
  return typeof name === "object" && wanted.get(name)?.isTrusted === true
}

/** Chooses the node of a cluster for a command that reads: ioredis calls it with the primary of the slot, followed by its replicas. */
export function chooseNode(
  [primary, ...replicas]: readonly (Redis | undefined)[],
  { args: [name] }: { args: readonly unknown[] },
): Redis[] | Redis | undefined {
  const want = typeof name === "object" && name !== null ? wanted.get(name) : undefined
  if (want === undefined) return primary
  const able = replicas.flatMap((node) => (node !== undefined && hasCaughtUp(node, want.asOf) ? [node] : []))
  // It is called again when the command was redirected, after which another node may answer than the one chosen.
  want.isTrusted = able.length > 0 && !want.isSent
  want.isSent = true
  return able.length === 0 ? primary : able
}

export function hasCaughtUp(node: Redis, asOf: number): boolean {
  return node.status === "ready" && (caughtUp.get(node) ?? Number.NEGATIVE_INFINITY) >= asOf
}
