import { access } from "node:fs/promises"
import { join } from "node:path"
import type { BackendDescription } from "../binding.ts"

interface LmdbPlace {
  path: string
  keyPrefix?: string
}

/** Up to `}`: `~`, which is behind it, begins the store's own rows, and what is behind `~` would never be swept. */
const KEY_PREFIX_FORM = /^[!-}]{1,512}$/

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
    read({ texts, refuse }) {
      const settings = texts({ dataDir: "path" }, { keyPrefix: "keyPrefix" })
      if (settings.keyPrefix !== undefined && !KEY_PREFIX_FORM.test(settings.keyPrefix)) {
        throw refuse('has in "keyPrefix" what is not 1 to 512 visible ASCII characters other than ~')
      }
      return settings
    },
  },
  defaultSettings: (name) => ({ path: join(".kv", name) }),
  isThere: ({ path }) =>
    access(join(path, "data.mdb")).then(
      () => true,
      () => false,
    ),
  async make({ path, keyPrefix }, { runtime, timeoutMs }) {
    const { lmdb } = await import("./backend.ts")
    const backend = lmdb(path, { runtime, timeoutMs })
    if (keyPrefix === undefined) return backend
    const { prefixed } = await import("../wrappers/prefixed.ts")
    return prefixed(backend, keyPrefix)
  },
}
