import type { Redis } from "ioredis"

/** For each connection to a replica: it has everything that was applied before this moment, monotonic ms. */
export const caughtUp = new WeakMap<Redis, number>()
/** The moment as of which a command has to be answered, by its first argument. */
const wanted = new WeakMap<object, number>()

/** A command with this key may be answered by a replica that has everything from before `asOf`. */
export function wantAsOf(name: string | Buffer, asOf: number): void {
  if (typeof name === "object") wanted.set(name, asOf)
}

/** Chooses the node of a cluster for a command that reads: ioredis calls it with the primary of the slot, followed by its replicas. */
export function chooseNode(
  [primary, ...replicas]: readonly (Redis | undefined)[],
  { args: [name] }: { args: readonly unknown[] },
): Redis[] | Redis | undefined {
  const asOf = typeof name === "object" && name !== null ? wanted.get(name) : undefined
  if (asOf === undefined) return primary
  const able = replicas.flatMap((node) => (node !== undefined && hasCaughtUp(node, asOf) ? [node] : []))
  return able.length === 0 ? primary : able
}

export function hasCaughtUp(node: Redis, asOf: number): boolean {
  return node.status === "ready" && (caughtUp.get(node) ?? Number.NEGATIVE_INFINITY) >= asOf
}
