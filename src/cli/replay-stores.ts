import { randomBytes } from "node:crypto"
import { join } from "node:path"
import type { Runtime } from "../../tiers/runtime.ts"
import type { L1Options } from "../api.ts"
import { parseUrl } from "../binding.ts"
import { kv } from "../kv.ts"
import { backendOf } from "../open-backend.ts"
import { DEFAULTS } from "../options.ts"
import { ReplayKeys } from "./replay-keys.ts"
import type { ReplayStores } from "./replay-run.ts"
import { temporaryDirectory } from "./temporary-directory.ts"

/** Two handles over one backend, and the keys that the replay uses there. */
export interface OpenedStores extends ReplayStores {
  readonly keys: ReplayKeys
  /** Whether the backend lives in this process. */
  readonly inProcess: boolean
  /** Removes what the replay wrote, and closes. */
  close(): Promise<void>
}

/**
 * Opens the backend at `url`, or LMDB in a temporary directory. A backend of the user's is written to under a prefix of
 * this replay alone, so that no key of theirs is touched.
 */
export async function openStores(
  url: string | undefined,
  l1: L1Options,
  runtime: Runtime,
): Promise<OpenedStores> {
  const directory = url === undefined ? await temporaryDirectory("tiered-kv-replay-") : undefined
  const binding =
    directory === undefined
      ? parseUrl(url ?? "")
      : { service: "lmdb" as const, path: join(directory.path, "store") }
  const keys = new ReplayKeys(directory === undefined ? `replay-${randomBytes(4).toString("hex")}:` : "")
  const backend = await backendOf(binding, runtime, DEFAULTS.timeoutMs)
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
        if (directory === undefined) await seeding.deleteMany(keys.keys())
      } finally {
        await seeding.close()
        await backend.close()
        await directory?.remove()
      }
    },
  }
}
