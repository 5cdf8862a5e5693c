import { Redis } from "ioredis"
import { expect, test } from "vitest"
import { caughtUp, chooseNode, isFromReplica, wantAsOf } from "../../../tiers/redis/caught-up.ts"

/** A connection that is ready, and its replica has everything from before `until`. */
function nodeOf(until?: number): Redis {
  const node = new Redis({ lazyConnect: true })
  node.status = "ready"
  if (until !== undefined) caughtUp.set(node, until)
  return node
}

const primary = nodeOf()
const [behind, current] = [nodeOf(10), nodeOf(20)]

test("a command goes to the replicas of the slot that have caught up", () => {
  const name = Buffer.from("a")
  wantAsOf(name, 15)
  expect(chooseNode([primary, behind, current], { args: [name] })).toEqual([current])
  expect(isFromReplica(name)).toBe(true)
})

test("what the primary of the slot answers over this connection is not believed, because it may have been replaced", () => {
  const name = Buffer.from("a")
  wantAsOf(name, 25)
  expect(chooseNode([primary, behind, current, undefined], { args: [name] })).toBe(primary)
  expect(isFromReplica(name)).toBe(false)
})

test("nor is what comes after a redirection", () => {
  const name = Buffer.from("a")
  wantAsOf(name, 15)
  chooseNode([primary, current], { args: [name] })
  chooseNode([primary, current], { args: [name] })
  expect(isFromReplica(name)).toBe(false)
})

test("every other command goes to the primary", () => {
  expect(chooseNode([primary, current], { args: [Buffer.from("a")] })).toBe(primary)
  expect(chooseNode([primary, current], { args: ["a"] })).toBe(primary)
})
