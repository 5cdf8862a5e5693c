import { createHash } from "node:crypto"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { encodeRow } from "../../../tiers/util/binary-row.ts"
import { failureOf } from "../../support/failures.ts"
import { wasWrittenBy } from "../../support/heads.ts"
import { type LmdbFixture, lmdbFixture, textOf } from "../../support/lmdb-fixture.ts"

let fixture: LmdbFixture
beforeEach(async () => {
  fixture = await lmdbFixture()
})
afterEach(() => fixture.remove())

const ROW = encodeRow({ value: Buffer.from("value"), id: "0".repeat(32), sequence: 1 })

describe("a damaged row", () => {
  const DAMAGES: Record<string, Buffer> = {
    "of another program": Buffer.from("something else"),
    "that is empty": Buffer.alloc(0),
    "cut short": ROW.subarray(0, ROW.length - 1),
    "of a later format": Buffer.from(ROW).fill(2, 2, 3),
    "larger than any": Buffer.alloc(20 * 1024 * 1024, 1),
  }

  async function withDamage(damage: Buffer): Promise<Backend> {
    const { openStore, put, underneath } = fixture
    const before = await openStore()
    for (const key of ["a", "key", "z"]) await put(before, key, `value of ${key}`)
    await before.close()
    await underneath((db) => db.putSync("key", damage))
    return openStore()
  }

  test.each(Object.entries(DAMAGES))("%s is CORRUPT_ENTRY, never a miss", async (_, damage) => {
    const backend = await withDamage(damage)
    const { runtime } = fixture
    const write = { value: Buffer.from("new"), id: runtime.id() }
    const version = "0".repeat(48)
    for (const call of [
      () => backend.get("key"),
      () => backend.exists("key"),
      () => wasWrittenBy(backend, "key", runtime.id()),
      () => backend.put("key", { ...write, condition: { absent: true } }),
      () => backend.put("key", { ...write, condition: { version } }),
      () => backend.delete("key", { id: runtime.id(), condition: { version } }),
      () => backend.scan("", { limit: 10 }),
      () => backend.scan("ke", { limit: 10 }),
    ]) {
      const error = await failureOf(call)
      expect(error).toMatchObject({ code: "CORRUPT_ENTRY", key: "key", backend: "lmdb" })
      expect(error.message).not.toContain("something else")
    }
    const found = await backend.getMany(["a", "key", "z"])
    expect(found.get("key")).toMatchObject({ code: "CORRUPT_ENTRY", key: "key" })
    expect(found.size).toBe(3)
    expect(await textOf(backend, "a")).toBe("value of a")
    expect((await backend.scan("z", { limit: 10 })).entries).toHaveLength(1)
  })

  test("is mended by a write, and removed by a delete", async () => {
    const backend = await withDamage(Buffer.from("damage"))
    await fixture.put(backend, "key", "mended")
    expect(await textOf(backend, "key")).toBe("mended")
    await backend.close()
    await fixture.underneath((db) => db.putSync("key", Buffer.from("damage")))
    const again = await fixture.openStore()
    expect(await again.delete("key", { id: fixture.runtime.id() })).toEqual({ applied: true })
    expect(await again.get("key")).toBeUndefined()
  })

  test("does not stop writes that wait with it", async () => {
    const backend = await withDamage(Buffer.from("damage"))
    const { put, runtime } = fixture
    const create = { value: Buffer.from("new"), id: runtime.id(), condition: { absent: true } } as const
    const [first, broken, last] = await Promise.allSettled([
      put(backend, "first", "value"),
      backend.put("key", create),
      put(backend, "last", "value"),
    ])
    expect([first.status, broken.status, last.status]).toEqual(["fulfilled", "rejected", "fulfilled"])
    expect(await textOf(backend, "last")).toBe("value")
  })

  test("is left to lie by the sweep", async () => {
    const backend = await withDamage(Buffer.from("damage"))
    const { put, runtime } = fixture
    await put(backend, "expired", "value", 1)
    const id = runtime.id()
    await backend.put("zz", { value: Buffer.from("value"), id, expiresAt: runtime.now() + 1 })
    while (await wasWrittenBy(backend, "zz", id)) await runtime.advance(60_000)
    expect((await failureOf(() => backend.get("key"))).code).toBe("CORRUPT_ENTRY")
  })
})

describe("a directory that cannot be used", () => {
  const fingerprint = async () =>
    createHash("sha256")
      .update(await readFile(join(fixture.directory, "data.mdb")))
      .digest("hex")

  async function expectRefusal(path = fixture.directory) {
    const error = await failureOf(() => fixture.openStore(path))
    expect(error).toMatchObject({ operation: "open", backend: "lmdb" })
    return error
  }

  test("a new store notes its format where no key can be", async () => {
    const backend = await fixture.openStore()
    await fixture.put(backend, "key", "value")
    expect((await backend.scan("", { limit: 10 })).entries.map(({ key }) => key)).toEqual(["key"])
    await backend.close()
    const keys = await fixture.underneath((db) =>
      [...db.getKeys()].map((key) => [key, db.get(key)?.toString()]),
    )
    expect(keys.slice(1)).toEqual([
      ["~format", "tiered-kv 1"],
      ["~sequence", "1"],
    ])
  })

  test("a later format is refused by name, and the file left as it was", async () => {
    await (await fixture.openStore()).close()
    await fixture.underneath((db) => db.putSync("~format", Buffer.from("tiered-kv 2")))
    const before = await fingerprint()
    const error = await expectRefusal()
    expect(error.code).toBe("BINDING_INVALID")
    expect(error.message).toContain("format 2")
    expect(error.message).toContain("format 1")
    expect(await fingerprint()).toBe(before)
  })

  test("another program's environment is refused, and left as it was", async () => {
    for (const mark of [undefined, "theirs", "tiered-kv ", "tiered-kv 1 beta"]) {
      await fixture.underneath((db) => {
        db.putSync("their:key", Buffer.from("their value"))
        if (mark !== undefined) db.putSync("~format", Buffer.from(mark))
      })
      const before = await fingerprint()
      const error = await expectRefusal()
      expect(error.code).toBe("BINDING_INVALID")
      expect(error.message).toContain("another program")
      expect(await fingerprint()).toBe(before)
    }
  })

  test("a data.mdb that is no environment is refused, and left as it was", async () => {
    const foreign = ["x", "not a database\n".repeat(1_000), Buffer.alloc(8_192)]
    for (const content of foreign) {
      await writeFile(join(fixture.directory, "data.mdb"), content)
      const before = await fingerprint()
      const error = await expectRefusal()
      expect(error.code).toBe("BINDING_INVALID")
      expect(error.message).toContain("data.mdb")
      expect(await fingerprint()).toBe(before)
    }
  })

  test("directories in place of its files are refused", async () => {
    for (const name of ["lock.mdb", "data.mdb"]) {
      await mkdir(join(fixture.directory, name))
      const error = await expectRefusal()
      expect(error.code).toBe("BINDING_INVALID")
      expect(error.message).toContain(name)
    }
  })

  test("a file, or a path below one, is refused with what to do", async () => {
    const file = join(fixture.directory, "file")
    await writeFile(file, "")
    for (const path of [file, join(file, "store"), join(fixture.directory, "x".repeat(300))]) {
      const error = await expectRefusal(path)
      expect(error.code).toBe("BINDING_INVALID")
      expect(error.message).toContain("directory")
    }
  })

  // Where even root may not write; it may anywhere else, whatever the mode says.
  test.runIf(process.platform === "linux")("one that may not be written is ACCESS_DENIED", async () => {
    expect((await expectRefusal("/sys/tiered-kv")).code).toBe("ACCESS_DENIED")
  })

  test("can be used once what was wrong is put right, by the same backend", async () => {
    const path = join(fixture.directory, "store")
    await mkdir(path)
    await writeFile(join(path, "data.mdb"), "not a database\n".repeat(1_000))
    await expectRefusal(path)
    await writeFile(join(path, "data.mdb"), "")
    const backend = await fixture.openStore(path)
    await fixture.put(backend, "key", "value")
    expect(await textOf(backend, "key")).toBe("value")
  })
})
