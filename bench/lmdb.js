import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { open } from "lmdb"
import { kv } from "tiered-kv"
import { compare } from "./compare.js"

const KEYS = 100_000

/** A read that L1 does not hold, from the embedded store, beside the same bytes from bare `lmdb`. */
export async function lmdb() {
  const directory = mkdtempSync(join(tmpdir(), "tiered-kv-bench-"))
  for (const size of [100, 1_024]) {
    const bare = open({ path: join(directory, `bare-${size}`), encoding: "binary" })
    const cached = await kv("cached", { backend: `lmdb:${join(directory, `tiered-${size}`)}` })
    const uncached = await kv("uncached", { backend: `lmdb:${join(directory, `tiered-${size}`)}`, l1: false })
    const keys = Array.from({ length: KEYS }, (_, i) => `user:${i}`)
    const value = randomBytes(size)
    const puts = keys.map((key) => bare.put(key, value))
    await Promise.all(puts)
    await cached.setMany(keys.map((key) => [key, value]))

    // The step is coprime to the number of keys: every key comes once, and none is near the previous one.
    let at = 0
    const next = () => {
      at = (at + 38_273) % KEYS
      return keys[at]
    }
    const bareGet = async (key) => bare.get(key)
    await compare(
      `An LMDB read of ${size} bytes, ${KEYS.toLocaleString("en")} keys, L1 missed`,
      {
        "lmdb get": () => bare.get(next()),
        "await an async lmdb get": () => bareGet(next()),
        "get, L1 off": () => uncached.get(next()),
        "get, filling L1": () => cached.get(next()),
      },
      { goals: { "get, L1 off": 1.5, "get, filling L1": 1.5 } },
    )
    await Promise.all([bare.close(), cached.close(), uncached.close()])
  }
  rmSync(directory, { recursive: true })
}
