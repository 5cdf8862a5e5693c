import assert from "node:assert/strict"
import { systemRuntime } from "../../runtime.ts"
import { applied, assertAbsent, assertPresent, type Cases, remove, TTL, versionOf, write } from "./context.ts"

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
    assert.equal(await backend.wasWrittenBy("key", create), false)
    await write(backend, "key", "one", { id: create, condition: { absent: true } })
    assert.equal(await other.wasWrittenBy("key", create), true)
    await write(backend, "key", "ours", { id: lost, condition: { absent: true } })
    await write(backend, "key", "two", { id: swap, condition: { version: await versionOf(backend, "key") } })
    assert.equal(await other.wasWrittenBy("key", create), false)
    assert.equal(await other.wasWrittenBy("key", swap), true)
    await backend.putMany(new Map([["key", { value: Uint8Array.of(1), id: batch }]]))
    assert.equal(await other.wasWrittenBy("key", batch), true)
    assert.equal(await other.wasWrittenBy("key", lost), false)
    assert.equal(await other.wasWrittenBy("other", batch), false)
    await remove(backend, "key")
    for (const id of ids) assert.equal(await other.wasWrittenBy("key", id), false)
  },

  "delivery: an expired row still carries its id": async ({ backend, clock }) => {
    const id = systemRuntime.id()
    await write(backend, "key", "value", { id, expiresAt: clock.now() + TTL })
    clock.advance(TTL)
    await assertAbsent(backend, "key")
    assert.equal(await backend.wasWrittenBy("key", id), true)
    assert.equal(await backend.wasWrittenBy("key", systemRuntime.id()), false)
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
    assert.equal(await other.wasWrittenBy("key", removed), true)
    assert.equal(await other.wasWrittenBy("key", written), false)
    assert.equal(await other.wasWrittenBy("key", lost), false)
    await assertAbsent(other, "key")
  },
}
