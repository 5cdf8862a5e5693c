import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { DEFAULTS } from "../../../tiers/limits.ts"
import type { Runtime } from "../../../tiers/runtime.ts"
import type { Kv, L1Options } from "../../api.ts"
import { backendOf } from "../../binding/catalogue.ts"
import { parseUrl } from "../../binding/url.ts"
import { kv } from "../../kv.ts"
import { temporaryDirectory } from "../temporary-directory.ts"
import { ReplayKeys } from "./keys.ts"
import type { ReplayStores } from "./run.ts"

/** Two handles over one backend, and the keys that the replay uses there. */
export interface OpenedStores extends ReplayStores {
  readonly keys: ReplayKeys
  /** Whether the backend lives in this process. */
  readonly inProcess: boolean
  /** Removes the entries of the replay, and closes the handles. */
  close(): Promise<void>
}

/**
 * Opens the backend at `url`, or LMDB in a temporary directory. In a backend of the user, all keys have a prefix that is unique to this
 * replay, so that no key of the user is changed.
 */
export async function openStores(
  url: string | undefined,
  l1: L1Options,
  runtime: Runtime,
): Promise<OpenedStores> {
  if (url !== undefined) {
    const keys = new ReplayKeys(`replay-${randomBytes(4).toString("hex")}:`)
    return open(url, keys, l1, runtime, (seeding) => seeding.deleteMany(keys.keys()))
  }
  const directory = await temporaryDirectory("tiered-kv-replay-")
  try {
    const stores = await open(`lmdb:${join(directory.path, "store")}`, new ReplayKeys(""), l1, runtime)
    return { ...stores, close: () => stores.close().finally(() => directory.remove()) }
  } catch (error) {
    await directory.remove()
    throw error
  }
}

async function open(
  url: string,
  keys: ReplayKeys,
  l1: L1Options,
  runtime: Runtime,
  clear?: (seeding: Kv) => Promise<void>,
): Promise<OpenedStores> {
  const backend = await backendOf(parseUrl(url), { runtime, timeoutMs: DEFAULTS.timeoutMs.write })
  const measured = await kv("replay", { backend, l1, runtime })
  const seeding = await kv("seeding", { backend, l1: false, runtime })
  return {
    measured,
    seeding,
    keys,
    inProcess: backend.traits.inProcess,
    async close() {
      await measured.close()
      try {
        await clear?.(seeding)
      } finally {
        await seeding.close()
        await backend.close()
      }
    },
  }
}
