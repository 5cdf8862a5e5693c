import { createHash } from "node:crypto"
import { MAX_KEY_BYTES } from "../../../tiers/limits.ts"
import { checkKey } from "../../operations/keys.ts"

export interface ReplayKey {
  /** A small whole number, in order of first appearance. */
  readonly id: number
  /** The key in the store. */
  readonly key: string
}

/**
 * The distinct keys of a log, each with its key in the store: the same key if it is legal, else a hash of it. The memory of a replay
 * grows with the number of distinct keys, not with the length of the log.
 */
export class ReplayKeys {
  readonly #prefix: string
  readonly #known = new Map<string, ReplayKey>()
  /** Number of keys that are hashed. */
  hashed = 0

  /** @param prefix put before every key */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  find(logged: string): ReplayKey | undefined {
    return this.#known.get(logged)
  }

  add(logged: string): ReplayKey {
    const key = { id: this.#known.size, key: this.#prefix + this.#legal(logged) }
    this.#known.set(logged, key)
    return key
  }

  get size(): number {
    return this.#known.size
  }

  *keys(): Generator<string> {
    for (const { key } of this.#known.values()) yield key
  }

  #legal(logged: string): string {
    if (this.#prefix.length + logged.length <= MAX_KEY_BYTES && isLegal(logged)) return logged
    this.hashed++
    return `hash:${createHash("sha256").update(logged, "latin1").digest("hex").slice(0, 32)}`
  }
}

function isLegal(key: string): boolean {
  try {
    checkKey(key, "replay")
    return true
  } catch {
    return false
  }
}
