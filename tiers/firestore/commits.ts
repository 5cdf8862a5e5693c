import type { FirestoreWrite } from "./requests.ts"

/** Maximum number of bytes of encoded values in one `Commit`. The service accepts requests of 10 MiB in all, its emulator 4 MiB. */
const MAX_COMMIT_BYTES = 3 * 1_048_576

/** Splits writes into commits that the service accepts. */
export function bySize<Item extends { write: FirestoreWrite }>(items: readonly Item[]): Item[][] {
  const parts: Item[][] = []
  let room = 0
  for (const item of items) {
    const value = item.write.fields?.value
    const size = typeof value === "string" ? value.length : 0
    const part = size > room ? undefined : parts.at(-1)
    if (part === undefined) {
      parts.push([item])
      room = MAX_COMMIT_BYTES - size
    } else {
      part.push(item)
      room -= size
    }
  }
  return parts
}
