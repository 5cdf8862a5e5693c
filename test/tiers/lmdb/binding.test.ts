import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"
import { parseAlienBinding } from "../../../src/binding/alien.ts"
import { lmdbDescription } from "../../../tiers/lmdb/binding.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"

async function open(path: string, keyPrefix?: string) {
  const settings = keyPrefix === undefined ? { path } : { path, keyPrefix }
  const backend = await lmdbDescription.make(settings, { runtime: systemRuntime, timeoutMs: 1_000 })
  await backend.open()
  onTestFinished(() => backend.close())
  return backend
}

test("two key prefixes over one LMDB directory do not see each other, and the whole of it sees both", async () => {
  const path = await mkdtemp(join(tmpdir(), "tiered-kv-lmdb-binding-"))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  const [one, two, all] = [await open(path, "one:"), await open(path, "two:"), await open(path)]
  await one.put("key", { value: Buffer.from("1"), id: systemRuntime.id() })
  expect(await two.get("key")).toBeUndefined()
  expect((await one.get("key"))?.value).toEqual(Uint8Array.of(0x31))
  expect((await all.get("one:key"))?.value).toEqual(Uint8Array.of(0x31))
  expect(one.traits).toEqual({ ...all.traits, target: `${all.traits.target}#one:`, keyPrefix: "one:" })
})

test.each(["~", "~s", "app:~", "\u007f", "é", "with space", "x".repeat(513)])(
  "an Alien keyPrefix that could reach the store's own rows, or is no key of LMDB, is refused: %j",
  (keyPrefix) => {
    const binding = JSON.stringify({ service: "local-kv", dataDir: "store", keyPrefix })
    expect(() => parseAlienBinding(binding, "The binding")).toThrow(
      expect.objectContaining({
        code: "BINDING_INVALID",
        message: expect.stringContaining("visible ASCII characters other than ~"),
      }),
    )
  },
)

test("an Alien keyPrefix may hold any other visible character", () => {
  const binding = JSON.stringify({ service: "local-kv", dataDir: "store", keyPrefix: "app/{a|b}!" })
  expect(parseAlienBinding(binding, "The binding").settings).toEqual({
    path: "store",
    keyPrefix: "app/{a|b}!",
  })
})
