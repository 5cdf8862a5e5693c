import type { Kv, KvOptions } from "../../src/api.ts"
import { kv } from "../../src/index.ts"
import type { Backend } from "../../tiers/backend.ts"
import { memory, memoryStore } from "../../tiers/memory.ts"
import { type GatedBackend, gatedBackend } from "./gated-backend.ts"
import { type TestRuntime, testRuntime } from "./runtime.ts"

/**
 * A store over a backend that waits and fails as the test says, with a clock that the test moves, and a table that other
 * processes can write to.
 */
export interface GatedStore {
  readonly client: Kv
  readonly gate: GatedBackend
  readonly runtime: TestRuntime
  /** The table itself, as another process sees it: what is written here goes past the gate and past L1. */
  readonly elsewhere: Elsewhere
}

export interface Elsewhere {
  /** Writes text, and answers with its version. */
  put(key: string, text: string, ttlMs?: number): Promise<string>
  delete(key: string): Promise<void>
  /** The text of the live row, read past both tiers. */
  text(key: string): Promise<string | undefined>
  /** How many rows lie there, expired ones included. */
  rows(): number
}

export interface GatedStoreOptions extends Omit<KvOptions, "backend" | "runtime"> {
  /**
   * Whether the backend gets the retries and the batching of a backend over a network. @default false, as an embedded
   * backend
   */
  networked?: boolean
  /** Opens the store. @default the real kv(), without jitter in L1 */
  open?: typeof kv
  /** Wraps the table behind the gate. */
  behind?: (table: Backend) => Backend
}

export async function gatedStore(options: GatedStoreOptions = {}): Promise<GatedStore> {
  const { networked = false, open = kv, behind = (table) => table, l1 = {}, ...rest } = options
  const runtime = testRuntime()
  const store = memoryStore()
  const table = memory({ runtime, store })
  const gate = gatedBackend({ backend: behind(table), traits: { inProcess: !networked } })
  const client = await open("test", {
    ...rest,
    l1: l1 === false ? false : { jitter: 0, ...l1 },
    backend: gate,
    runtime,
  })
  const elsewhere: Elsewhere = {
    async put(key, text, ttlMs) {
      const expiry = ttlMs === undefined ? {} : { expiresAt: runtime.now() + ttlMs }
      const { version } = await table.put(key, { value: Buffer.from(text), id: runtime.id(), ...expiry })
      if (version === undefined) throw new Error("the memory backend always knows the version")
      return version
    },
    delete: async (key) => void (await table.delete(key, { id: runtime.id() })),
    async text(key) {
      const entry = await table.get(key)
      return entry && Buffer.from(entry.value).toString()
    },
    rows: () => store.rows.size,
  }
  return { client, gate, runtime, elsewhere }
}
