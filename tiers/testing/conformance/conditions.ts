import assert from "node:assert/strict"
import type { Backend } from "../../backend.ts"
import { KvError } from "../../errors.ts"
import {
  applied,
  assertAbsent,
  assertPresent,
  type Cases,
  entryOf,
  remove,
  versionOf,
  write,
} from "./context.ts"

const WRITERS = 12
const ROUNDS = 4
/** Some compare-and-sets of a race lose; a hundred on end are never won. */
const MOST_ATTEMPTS = 100

export const conditionCases: Cases = {
  "conditions: put if absent writes where nothing is, and only there": async ({ backend }) => {
    assert.equal(applied(await write(backend, "key", "first", { condition: { absent: true } })), true)
    const version = await versionOf(backend, "key")
    assert.equal(applied(await write(backend, "key", "second", { condition: { absent: true } })), false)
    await assertPresent(backend, "key", "first")
    assert.equal(await versionOf(backend, "key"), version)
  },

  "conditions: put if absent counts an empty value as present": async ({ backend }) => {
    await write(backend, "key", "")
    assert.equal(applied(await write(backend, "key", "second", { condition: { absent: true } })), false)
    await assertPresent(backend, "key", "")
  },

  "conditions: put if version writes over that version alone": async ({ backend }) => {
    await write(backend, "key", "one")
    const one = await versionOf(backend, "key")
    assert.equal(applied(await write(backend, "key", "two", { condition: { version: one } })), true)
    await assertPresent(backend, "key", "two")
    assert.equal(applied(await write(backend, "key", "three", { condition: { version: one } })), false)
    await assertPresent(backend, "key", "two")
  },

  "conditions: put if version of an absent key is not applied": async ({ backend }) => {
    await write(backend, "key", "one")
    const version = await versionOf(backend, "key")
    await remove(backend, "key")
    assert.equal(applied(await write(backend, "key", "two", { condition: { version } })), false)
    await assertAbsent(backend, "key")
    assert.equal(applied(await write(backend, "never", "two", { condition: { version } })), false)
    await assertAbsent(backend, "never")
  },

  "conditions: a version survives neither a delete nor a write of the same value": async ({ backend }) => {
    await write(backend, "key", "same")
    const version = await versionOf(backend, "key")
    await remove(backend, "key")
    await write(backend, "key", "same")
    assert.equal(applied(await write(backend, "key", "other", { condition: { version } })), false)
    assert.equal(applied(await remove(backend, "key", { version })), false)
    await assertPresent(backend, "key", "same")
  },

  "conditions: delete if version removes that version alone": async ({ backend }) => {
    await write(backend, "key", "one")
    const one = await versionOf(backend, "key")
    await write(backend, "key", "two")
    assert.equal(applied(await remove(backend, "key", { version: one })), false)
    await assertPresent(backend, "key", "two")
    assert.equal(applied(await remove(backend, "key", { version: await versionOf(backend, "key") })), true)
    await assertAbsent(backend, "key")
  },

  "conditions: delete if version of an absent key is not applied": async ({ backend }) => {
    await write(backend, "key", "one")
    const version = await versionOf(backend, "key")
    await remove(backend, "key")
    assert.equal(applied(await remove(backend, "key", { version })), false)
    assert.equal(applied(await remove(backend, "never", { version })), false)
    await assertAbsent(backend, "never")
  },

  "conditions: after a delete if version the key is absent to every condition": async ({ backend }) => {
    await write(backend, "key", "one")
    const version = await versionOf(backend, "key")
    await remove(backend, "key", { version })
    assert.equal(applied(await write(backend, "key", "two", { condition: { version } })), false)
    assert.equal(applied(await remove(backend, "key", { version })), false)
    await assertAbsent(backend, "key")
    assert.equal(applied(await write(backend, "key", "two", { condition: { absent: true } })), true)
    await assertPresent(backend, "key", "two")
  },

  "conditions: a version no backend gave matches nothing": async ({ backend }) => {
    await write(backend, "key", "one")
    for (const version of ["0", "no-such-version", "f".repeat(48)]) {
      for (const attempt of [
        () => write(backend, "key", "two", { condition: { version } }),
        () => remove(backend, "key", { version }),
      ]) {
        await assertRefused(attempt)
      }
    }
    await assertPresent(backend, "key", "one")
  },

  "conditions: a condition of one key does not look at another": async ({ backend }) => {
    await write(backend, "key", "one")
    await write(backend, "key:1", "one")
    assert.equal(applied(await write(backend, "ke", "new", { condition: { absent: true } })), true)
    assert.equal(applied(await write(backend, "key:", "new", { condition: { absent: true } })), true)
    const version = await versionOf(backend, "key")
    await assertRefused(() => write(backend, "key:1", "two", { condition: { version } }))
    await assertPresent(backend, "key:1", "one")
  },

  "conditions: one of many writers creates a key": async ({ backend, another }) => {
    const processes = [backend, await another()]
    for (let round = 0; round < ROUNDS; round++) {
      const winners = await raced(processes, `key:${round}`, { absent: true })
      assert.equal(winners.length, 1, `${winners.length} writers of ${WRITERS} created the key`)
      await assertPresent(backend, `key:${round}`, `writer ${winners[0]}`)
    }
  },

  "conditions: one of many writers replaces a version": async ({ backend, another }) => {
    const processes = [backend, await another()]
    await write(backend, "key", "start")
    for (let round = 0; round < ROUNDS; round++) {
      const winners = await raced(processes, "key", { version: await versionOf(backend, "key") })
      assert.equal(winners.length, 1, `${winners.length} writers of ${WRITERS} replaced one version`)
      await assertPresent(backend, "key", `writer ${winners[0]}`)
    }
  },

  "conditions: one of many removers removes a version": async ({ backend, another }) => {
    const processes = [backend, await another()]
    for (let round = 0; round < ROUNDS; round++) {
      const key = `key:${round}`
      await write(backend, key, "value")
      const version = await versionOf(backend, key)
      const attempts = await Promise.all(
        Array.from({ length: WRITERS }, (_, index) =>
          remove(processes[index % 2] ?? backend, key, { version }),
        ),
      )
      assert.equal(attempts.filter(applied).length, 1)
      await assertAbsent(backend, key)
    }
  },

  "conditions: counting by compare-and-set from two processes loses nothing": async (context) => {
    const processes = [context.backend, await context.another()]
    await write(context.backend, "count", "0")
    const each = 5
    await Promise.all(
      processes.map(async (backend) => {
        for (let turn = 0; turn < each; turn++) await increment(backend, "count")
      }),
    )
    await assertPresent(context.backend, "count", String(each * processes.length))
  },
}

/** Writers at once under one condition: the numbers of those that were applied. */
async function raced(
  processes: readonly Backend[],
  key: string,
  condition: { absent: true } | { version: string },
): Promise<number[]> {
  const attempts = await Promise.all(
    Array.from({ length: WRITERS }, async (_, index) => {
      const backend = processes[index % processes.length]
      return backend !== undefined && applied(await write(backend, key, `writer ${index}`, { condition }))
    }),
  )
  return attempts.flatMap((won, index) => (won ? [index] : []))
}

async function increment(backend: Backend, key: string): Promise<void> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const { value, version } = await entryOf(backend, key)
    const next = String(Number(new TextDecoder().decode(value)) + 1)
    if (applied(await write(backend, key, next, { condition: { version } }))) return
  }
  assert.fail(`${MOST_ATTEMPTS} compare-and-sets on end were not applied, each under the version just read`)
}

/** Not applied, or refused as `INVALID_VERSION`. */
async function assertRefused(attempt: () => Promise<{ applied: boolean }>): Promise<void> {
  try {
    assert.equal((await attempt()).applied, false, "a write was applied under a version of something else")
  } catch (error) {
    if (!(error instanceof KvError && error.code === "INVALID_VERSION")) throw error
  }
}
