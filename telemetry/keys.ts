import type { ShownKeys } from "./options.ts"

const HASH_DIGITS = 16

/** The part of `key` that the option `keys` allows. Throws what the function of the user throws. */
export function shownKey(keys: ShownKeys, key: string): string | undefined {
  if (typeof keys === "function") return keys(key)
  switch (keys) {
    case "off":
      return undefined
    case "prefix": {
      const end = key.indexOf(":")
      return end === -1 ? undefined : key.slice(0, end + 1)
    }
    case "hash":
      return process
        .getBuiltinModule("node:crypto")
        .createHash("sha256")
        .update(key)
        .digest("hex")
        .slice(0, HASH_DIGITS)
    case "full":
      return key
  }
}
