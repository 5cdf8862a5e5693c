import assert from "node:assert/strict"
import { KvError } from "../../errors.ts"
import { systemRuntime } from "../../runtime.ts"
import {
  applied,
  assertAbsent,
  assertPresent,
  type Cases,
  headOf,
  probeAll,
  remove,
  TTL,
  versionOf,
  write,
} from "./context.ts"

const IN_PROCESS = "nothing is lost between a caller and a backend in its own process"

/** Writes that are sent twice, and what can be said of one whose reply was lost. */
export const deliveryCases: Cases = {
  "delivery: a create sent twice is applied, once": async ({ backend }) => {
    const id = systemRuntime.id()
    const first = await write(backend, "key", "value", { id, condition: { absent: true } })
    const version = await versionOf(backend, "key")
    const second = await write(backend, "key", "value", { id, condition: { absent: true } })
    assert.deepEqual([first.applied, second.applied], [true, true])
    await assertPresent(backend, "key", "value")
    if (second.version !== undefined) assert.equal(second.version, await versionOf(backend, "key"))
    assert.equal(await versionOf(backend, "key"), version, "the second delivery wrote anew")
  },

  "delivery: a compare-and-set sent twice is applied, once": async ({ backend }) => {
    await write(backend, "key", "one")
    const condition = { version: await versionOf(backend, "key") }
    const id = systemRuntime.id()
    const first = await write(backend, "key", "two", { id, condition })
    const version = await versionOf(backend, "key")
    const second = await write(backend, "key", "two", { id, condition })
    assert.deepEqual([first.applied, second.applied], [true, true])
    await assertPresent(backend, "key", "two")
    assert.equal(await versionOf(backend, "key"), version, "the second delivery wrote anew")
  },

  "delivery: a write without a condition sent twice is applied": async ({ backend }) => {
    const id = systemRuntime.id()
    for (const result of [
      await write(backend, "key", "value", { id }),
      await write(backend, "key", "value", { id }),
      (await backend.putMany(new Map([["key", { value: Uint8Array.of(1), id }]]))).get("key"),
    ]) {
      assert.equal(applied(result), true)
    }
    assert.equal(await backend.exists("key"), true)
  },

  "delivery: a create sent twice from two connections is applied, once": async ({ backend, another }) => {
    const other = await another()
    const id = systemRuntime.id()
    const results = await Promise.all([
      write(backend, "key", "value", { id, condition: { absent: true } }),
      write(other, "key", "value", { id, condition: { absent: true } }),
    ])
    assert.deepEqual(results.map(applied), [true, true])
    await assertPresent(backend, "key", "value")
  },

  "delivery: a create that lost stays lost when it is sent again": async ({ backend }) => {
    await write(backend, "key", "theirs")
    const id = systemRuntime.id()
    for (let delivery = 0; delivery < 2; delivery++) {
      const result = await write(backend, "key", "ours", { id, condition: { absent: true } })
      assert.equal(result.applied, false)
    }
    await assertPresent(backend, "key", "theirs")
  },

  "delivery: a create sent again does not undo what came after it": async ({ backend }) => {
    const id = systemRuntime.id()
    await write(backend, "key", "ours", { id, condition: { absent: true } })
    await write(backend, "key", "theirs")
    await write(backend, "key", "ours", { id, condition: { absent: true } })
    await assertPresent(backend, "key", "theirs")
  },

  "delivery: a delete without a condition sent twice is applied": async ({ backend }) => {
    await write(backend, "key", "value")
    const id = systemRuntime.id()
    assert.equal(applied(await remove(backend, "key", { id })), true)
    assert.equal(applied(await remove(backend, "key", { id })), true)
    await assertAbsent(backend, "key")
  },

  "delivery: a delete if version sent twice is applied": async ({ backend, skip }) => {
    if (backend.traits.inProcess) skip(IN_PROCESS)
    await write(backend, "key", "value")
    const version = await versionOf(backend, "key")
    const id = systemRuntime.id()
    assert.equal(applied(await remove(backend, "key", { id, version })), true)
    assert.equal(applied(await remove(backend, "key", { id, version })), true)
    assert.equal(applied(await remove(backend, "key", { version })), false)
    await assertAbsent(backend, "key")
  },

  "delivery: the row carries the id of the write that left it": async ({ backend, another }) => {
    const ids = Array.from({ length: 4 }, () => systemRuntime.id())
    const [create = "", swap = "", batch = "", lost = ""] = ids
    const other = await another()
    assert.notEqual((await headOf(backend, "key"))?.id, create)
    await write(backend, "key", "one", { id: create, condition: { absent: true } })
    assert.equal((await headOf(other, "key"))?.id, create)
    await write(backend, "key", "ours", { id: lost, condition: { absent: true } })
    await write(backend, "key", "two", { id: swap, condition: { version: await versionOf(backend, "key") } })
    assert.notEqual((await headOf(other, "key"))?.id, create)
    assert.equal((await headOf(other, "key"))?.id, swap)
    await backend.putMany(new Map([["key", { value: Uint8Array.of(1), id: batch }]]))
    assert.equal((await headOf(other, "key"))?.id, batch)
    assert.notEqual((await headOf(other, "key"))?.id, lost)
    assert.notEqual((await headOf(other, "other"))?.id, batch)
    await remove(backend, "key")
    for (const id of ids) assert.notEqual((await headOf(other, "key"))?.id, id)
  },

  "delivery: an expired row still carries its id": async ({ backend, clock }) => {
    const id = systemRuntime.id()
    await write(backend, "key", "value", { id, expiresAt: clock.now() + TTL })
    clock.advance(TTL)
    await assertAbsent(backend, "key")
    const head = await headOf(backend, "key")
    assert.deepEqual([head?.id, head?.live], [id, false])
  },

  "delivery: after a delete if version the key carries the id of the delete": async (context) => {
    const { backend, another, skip } = context
    if (backend.traits.inProcess) skip(IN_PROCESS)
    const written = systemRuntime.id()
    const removed = systemRuntime.id()
    const lost = systemRuntime.id()
    await write(backend, "key", "value", { id: written })
    const version = await versionOf(backend, "key")
    assert.equal(applied(await remove(backend, "key", { id: removed, version })), true)
    assert.equal(applied(await remove(backend, "key", { id: lost, version })), false)
    const other = await another()
    assert.equal((await headOf(other, "key"))?.id, removed)
    assert.notEqual((await headOf(other, "key"))?.id, written)
    assert.notEqual((await headOf(other, "key"))?.id, lost)
    assert.equal((await headOf(other, "key"))?.live, false)
    await assertAbsent(other, "key")
  },

  "delivery: a probe gives the version that a read gives, and leaves out keys without a row": async (
    context,
  ) => {
    const { backend, clock, another } = context
    const other = await another()
    await write(backend, "a", "1", { expiresAt: clock.now() + TTL })
    await write(backend, "b", "2")
    const heads = await probeAll(other, ["a", "nothing", "b"])
    assert.deepEqual([...heads.keys()].sort(), ["a", "b"])
    for (const key of ["a", "b"]) {
      const head = heads.get(key)
      if (head instanceof KvError) throw head
      assert.equal(head?.version, await versionOf(backend, key))
      assert.equal(head?.live, true)
    }
  },

  "delivery: the time of a row is within what the backend knows of the service's clock": async (context) => {
    const { backend, another } = context
    const other = await another()
    await write(other, "key", "before")
    await write(backend, "key", "value")
    const before = backend.serviceTime?.("key")
    await write(other, "key", "after")
    const head = await headOf(backend, "key")
    const { writtenAt } = head ?? {}
    await write(backend, "key", "last")
    const after = backend.serviceTime?.("key")
    if (before === undefined || writtenAt === undefined || after === undefined) return
    assert.ok(before.earliest <= before.latest && writtenAt.earliest <= writtenAt.latest)
    if (writtenAt.clock !== before.clock || after.clock !== before.clock) return
    assert.ok(writtenAt.latest > before.earliest, "a row that was written later is taken for an older one")
    assert.ok(writtenAt.earliest <= after.latest, "a row that was written before is taken for a newer one")
  },
}
