import { join } from "node:path"
import type { BackendDescription } from "../binding.ts"

interface LmdbPlace {
  path: string
  keyPrefix?: string
}

export const lmdbDescription: BackendDescription<LmdbPlace> = {
  kind: "lmdb",
  url: {
    forms: { lmdb: "lmdb:PATH" },
    read({ text, refuse }) {
      const path = text.slice("lmdb:".length).replace(/^\/\/(?=\/)/, "")
      if (path === "" || path.startsWith("//")) throw refuse("names no path; write lmdb:PATH")
      return { path }
    },
  },
  alien: {
    service: "local-kv",
    read: (fields) => fields.texts({ dataDir: "path" }, { keyPrefix: "keyPrefix" }),
  },
  defaultSettings: (name) => ({ path: join(".kv", name) }),
  async make({ path, keyPrefix }, { runtime }) {
    const { lmdb } = await import("./backend.ts")
    const backend = lmdb(path, { runtime })
    if (keyPrefix === undefined) return backend
    const { prefixed } = await import("../wrappers/prefixed.ts")
    return prefixed(backend, keyPrefix)
  },
}
