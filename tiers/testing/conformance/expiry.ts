import assert from "node:assert/strict"
import {
  applied,
  assertAbsent,
  assertPresent,
  type CaseContext,
  type Cases,
  remove,
  scanAll,
  TTL,
  versionOf,
  write,
} from "./context.ts"

/** Writers at once in a race: more than a connection pool or a batch would put in line by chance. */
const WRITERS = 12
/** Rounds of a race that a wrong backend does not lose every time. */
const ROUNDS = 8

/** Leaves a row under each key that has expired by the clock, and gives the version it had. */
async function expired({ backend, clock }: CaseContext, ...keys: string[]): Promise<string> {
  for (const key of keys) await write(backend, key, "old", { expiresAt: clock.now() + TTL })
  const version = await versionOf(backend, keys[0] ?? "")
  clock.advance(TTL)
  return version
}

export const expiryCases: Cases = {
  "expiry: exact to the millisecond for every read": async ({ backend, clock }) => {
    const expiresAt = clock.now() + TTL
    await write(backend, "key", "value", { expiresAt })
    await assertPresent(backend, "key", "value", expiresAt)
    clock.advance(TTL - 1)
    await assertPresent(backend, "key", "value", expiresAt)
    clock.advance(1)
    await assertAbsent(backend, "key")
  },

  "expiry: the millisecond written comes back, far ones, too": async ({ backend, clock }) => {
    const whole = Math.ceil((clock.now() + TTL) / 1_000) * 1_000
    const decade = 10 * 365 * 86_400_000
    for (const [index, expiresAt] of [whole, whole + 1, whole + 999, whole + decade + 7].entries()) {
      await write(backend, `key:${index}`, "value", { expiresAt })
      await assertPresent(backend, `key:${index}`, "value", expiresAt)
    }
  },

  "expiry: getMany and scan leave out the expired among the live": async (context) => {
    const { backend, clock } = context
    await expired(context, "a", "c", "e")
    for (const key of ["b", "d"]) await write(backend, key, "new", { expiresAt: clock.now() + 1 + TTL })
    await write(backend, "f", "for good")
    const found = await backend.getMany(["a", "b", "c", "d", "e", "f"])
    assert.deepEqual([...found.keys()].sort(), ["b", "d", "f"])
    assert.deepEqual([...(await scanAll(backend, "", 1)).keys()].sort(), ["b", "d", "f"])
  },

  "expiry: exact for put if absent": async ({ backend, clock }) => {
    await write(backend, "key", "old", { expiresAt: clock.now() + TTL })
    clock.advance(TTL - 1)
    assert.equal(applied(await write(backend, "key", "new", { condition: { absent: true } })), false)
    await assertPresent(backend, "key", "old", clock.now() + 1)
    clock.advance(1)
    assert.equal(applied(await write(backend, "key", "new", { condition: { absent: true } })), true)
    await assertPresent(backend, "key", "new")
  },

  "expiry: exact for put if version": async ({ backend, clock }) => {
    for (const key of ["live", "late"]) await write(backend, key, "old", { expiresAt: clock.now() + TTL })
    const [live, late] = [await versionOf(backend, "live"), await versionOf(backend, "late")]
    clock.advance(TTL - 1)
    assert.equal(applied(await write(backend, "live", "new", { condition: { version: live } })), true)
    clock.advance(1)
    assert.equal(applied(await write(backend, "late", "new", { condition: { version: late } })), false)
    await assertPresent(backend, "live", "new")
    await assertAbsent(backend, "late")
  },

  "expiry: exact for delete if version": async ({ backend, clock }) => {
    for (const key of ["live", "late"]) await write(backend, key, "old", { expiresAt: clock.now() + TTL })
    const [live, late] = [await versionOf(backend, "live"), await versionOf(backend, "late")]
    clock.advance(TTL - 1)
    assert.equal(applied(await remove(backend, "live", { version: live })), true)
    clock.advance(1)
    assert.equal(applied(await remove(backend, "late", { version: late })), false)
    await assertAbsent(backend, "live")
    await assertAbsent(backend, "late")
  },

  "expiry: a write without one clears one": async ({ backend, clock }) => {
    for (const key of ["put", "swap", "many"]) {
      await write(backend, key, "old", { expiresAt: clock.now() + TTL })
    }
    const version = await versionOf(backend, "swap")
    await write(backend, "put", "new")
    await write(backend, "swap", "new", { condition: { version } })
    await backend.putMany(new Map([["many", { value: Uint8Array.of(1), id: clock.id() }]]))
    clock.advance(2 * TTL)
    await assertPresent(backend, "put", "new")
    await assertPresent(backend, "swap", "new")
    await assertPresent(backend, "many", Uint8Array.of(1))
  },

  "expiry: a write moves one, either way": async ({ backend, clock }) => {
    const start = clock.now()
    await write(backend, "longer", "old", { expiresAt: start + TTL })
    await write(backend, "longer", "new", { expiresAt: start + 3 * TTL })
    await write(backend, "shorter", "old", { expiresAt: start + 3 * TTL })
    await write(backend, "shorter", "new", { expiresAt: start + TTL })
    clock.advance(TTL)
    await assertPresent(backend, "longer", "new", start + 3 * TTL)
    await assertAbsent(backend, "shorter")
  },

  "expiry: putMany writes it, exact to the millisecond": async ({ backend, clock }) => {
    const expiresAt = clock.now() + TTL + 1
    await backend.putMany(new Map([["key", { value: Uint8Array.of(7), id: clock.id(), expiresAt }]]))
    clock.advance(TTL)
    await assertPresent(backend, "key", Uint8Array.of(7), expiresAt)
    clock.advance(1)
    await assertAbsent(backend, "key")
  },

  "expiry: an expired row is written over without a condition": async (context) => {
    const { backend } = context
    await expired(context, "put", "many")
    assert.equal(applied(await write(backend, "put", "new")), true)
    await backend.putMany(new Map([["many", { value: Uint8Array.of(1), id: context.clock.id() }]]))
    await assertPresent(backend, "put", "new")
    await assertPresent(backend, "many", Uint8Array.of(1))
  },

  "expiry: an expired row is deleted without a condition": async (context) => {
    const { backend } = context
    await expired(context, "key")
    assert.equal(applied(await remove(backend, "key")), true)
    await assertAbsent(backend, "key")
  },

  "expiry: the version of an expired row does not match what took its place": async (context) => {
    const { backend } = context
    const version = await expired(context, "key")
    await write(backend, "key", "new", { condition: { absent: true } })
    assert.equal(applied(await write(backend, "key", "stale", { condition: { version } })), false)
    assert.equal(applied(await remove(backend, "key", { version })), false)
    await assertPresent(backend, "key", "new")
  },

  "expiry: one of many writers takes an expired row over": async (context) => {
    const { backend, another } = context
    const processes = [backend, await another()]
    for (let round = 0; round < ROUNDS; round++) {
      const key = `key:${round}`
      await expired(context, key)
      const attempts = await Promise.all(
        Array.from({ length: WRITERS }, (_, index) =>
          write(processes[index % 2] ?? backend, key, `writer ${index}`, { condition: { absent: true } }),
        ),
      )
      const winners = attempts.flatMap((attempt, index) => (applied(attempt) ? [index] : []))
      assert.equal(winners.length, 1, `${winners.length} writers of ${WRITERS} took the expired row over`)
      await assertPresent(backend, key, `writer ${winners[0]}`)
    }
  },

  "expiry: removing an expired row never removes what was written meanwhile": async (context) => {
    const { backend, another } = context
    const other = await another()
    for (let round = 0; round < ROUNDS; round++) {
      const key = `key:${round}`
      const version = await expired(context, key)
      const readers = Array.from({ length: WRITERS }, (_, index) => {
        if (index % 4 === 0) return other.get(key)
        if (index % 4 === 1) return other.getMany([key])
        if (index % 4 === 2) return scanAll(other, key)
        return remove(other, key, { version })
      })
      const [result] = await Promise.all([write(backend, key, "fresh"), ...readers])
      assert.equal(applied(result), true)
      await assertPresent(backend, key, "fresh")
      await assertPresent(other, key, "fresh")
    }
  },
}
