import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { open, type RootDatabase } from "lmdb"
import type { Backend, WriteResult } from "../../tiers/backend.ts"
import { type LmdbOptions, lmdb } from "../../tiers/lmdb/backend.ts"
import { type TestRuntime, testRuntime } from "./runtime.ts"

/** A directory of its own for LMDB stores, and backends over it that are closed with it. */
export interface LmdbFixture {
  readonly directory: string
  readonly runtime: TestRuntime
  openStore(path?: string, options?: LmdbOptions): Promise<Backend>
  put(backend: Backend, key: string, text: string, ttlMs?: number): Promise<WriteResult>
  /** What lies in the directory, read or written without the backend. */
  underneath<T>(use: (db: RootDatabase<Buffer, string>) => T): Promise<T>
  remove(): Promise<void>
}

export async function lmdbFixture(): Promise<LmdbFixture> {
  const directory = await mkdtemp(join(tmpdir(), "tiered-kv-lmdb-"))
  const runtime = testRuntime()
  const opened: Backend[] = []
  return {
    directory,
    runtime,

    async openStore(path = directory, options = {}) {
      const backend = lmdb(path, { runtime, ...options })
      await backend.open()
      opened.push(backend)
      return backend
    },

    put(backend, key, text, ttlMs) {
      const expiry = ttlMs === undefined ? {} : { expiresAt: runtime.now() + ttlMs }
      return backend.put(key, { value: Buffer.from(text), id: runtime.id(), ...expiry })
    },

    async underneath(use) {
      const db = open<Buffer, string>({
        path: directory,
        encoding: "binary",
        noSubdir: false,
        overlappingSync: false,
      })
      try {
        return use(db)
      } finally {
        await db.close()
      }
    },

    async remove() {
      await Promise.all(opened.map((backend) => backend.close()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export async function textOf(backend: Backend, key: string): Promise<string | undefined> {
  const entry = await backend.get(key)
  return entry && Buffer.from(entry.value).toString()
}
