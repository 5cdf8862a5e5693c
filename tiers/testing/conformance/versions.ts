import assert from "node:assert/strict"
import type { Backend } from "../../backend.ts"
import { type Cases, remove, scanAll, TTL, versionOf, write } from "./context.ts"

export const versionCases: Cases = {
  "versions: visible ASCII of at most 120 characters": async ({ backend }) => {
    await write(backend, "key", "value")
    assert.match(await versionOf(backend, "key"), /^[\x21-\x7e]{1,120}$/)
  },

  "versions: new on every write, of the same value, too, and after a delete": async ({ backend }) => {
    const seen = new Set<string>()
    for (let round = 0; round < 6; round++) {
      await write(backend, "key", "same")
      seen.add(await versionOf(backend, "key"))
      if (round % 2 === 1) await remove(backend, "key")
    }
    assert.equal(seen.size, 6)
  },

  "versions: stay as they are while nothing is written": async ({ backend, another }) => {
    await write(backend, "key", "value")
    const version = await versionOf(backend, "key")
    await write(backend, "other", "value")
    assert.equal(await versionOf(backend, "key"), version)
    assert.equal(await versionOf(await another(), "key"), version)
  },

  "versions: a write gives the version that reads then find": async ({ backend }) => {
    const put = await write(backend, "key", "value")
    assert.equal(put.applied, true)
    const version = await versionOf(backend, "key")
    if (put.version !== undefined) assert.equal(version, put.version)
    const swapped = await write(backend, "key", "next", { condition: { version } })
    assert.equal(swapped.applied, true)
    if (swapped.version !== undefined) assert.equal(await versionOf(backend, "key"), swapped.version)
    assert.equal((await scanAll(backend, "key")).get("key")?.version, await versionOf(backend, "key"))
  },

  "versions: ordered as the writes were, over processes, deletes and expiries": async (context) => {
    const { backend, another, clock, skip } = context
    const compare = orderOf(backend)
    if (compare === undefined) return skip("this backend does not order versions")
    const writers = [backend, await another()]
    const versions: string[] = []
    for (let round = 0; round < 12; round++) {
      const writer = writers[round % 2] ?? backend
      const expiresAt = clock.now() + TTL
      await write(writer, "key", `round ${round}`, round % 3 === 0 ? { expiresAt } : {})
      versions.push(await versionOf(backend, "key"))
      if (round % 3 === 0) clock.advance(TTL)
      if (round % 4 === 1) await remove(writer, "key")
    }
    for (const [index, version] of versions.entries()) {
      assert.equal(compare(version, version), 0)
      for (const older of versions.slice(0, index)) {
        assert.ok(compare(older, version) < 0, "an older version did not order before a newer one")
        assert.ok(compare(version, older) > 0, "a newer version did not order after an older one")
      }
    }
  },

  "versions: traits.ordered and compareVersions go together": async ({ backend }) => {
    assert.equal(backend.compareVersions !== undefined, backend.traits.ordered)
  },
}

function orderOf(backend: Backend): ((a: string, b: string) => number) | undefined {
  if (!backend.traits.ordered) return undefined
  return (a, b) => backend.compareVersions?.(a, b) ?? Number.NaN
}
