import type { ScanPage } from "../../tiers/backend.ts"
import { DEFAULTS } from "../../tiers/limits.ts"
import { abortable } from "../../tiers/util/abort.ts"
import type { Entry, ScanOptions, ScanPageResult } from "../api.ts"
import type { Outcome } from "../listener.ts"
import type { OpenStore } from "../open-store.ts"
import { entryOf } from "./forms.ts"
import { checkPrefix } from "./keys.ts"
import { cursorToken, positionFrom } from "./tokens.ts"

/** The entries of all pages. Each page is read when the loop reaches it, after `check`. */
export async function* scanPages(
  store: OpenStore,
  prefix: string,
  options: ScanOptions | undefined,
  check: () => void,
): AsyncGenerator<Entry, void, undefined> {
  check()
  let page = await scanPage(store, "scan", prefix, options)
  for (;;) {
    // Not `yield*`, which would pass each entry through a second generator.
    for (const entry of page.entries) yield entry
    if (page.nextCursor === undefined) return
    check()
    page = await scanPage(store, "scan", prefix, { ...options, cursor: page.nextCursor })
  }
}

/** One page of the live entries whose key starts with `prefix`. */
export async function scanPage(
  store: OpenStore,
  operation: string,
  prefix: string,
  options: ScanOptions | undefined,
): Promise<ScanPageResult> {
  checkPrefix(prefix, operation)
  const { tiers, listener } = store
  const place = `${tiers.traits.kind}:${tiers.traits.target}`
  const { limit = DEFAULTS.pageLimit, fill = false, signal } = options ?? {}
  const position =
    options?.cursor === undefined ? undefined : positionFrom(options.cursor, place, prefix, operation)
  const request = {
    limit,
    ...(position === undefined ? {} : { cursor: position }),
    ...(signal === undefined ? {} : { signal }),
  }
  const read = () => abortable(tiers.direct.readPage(prefix, request, fill), signal)
  const describe = ({ entries }: ScanPage): Outcome => ({ tier: "l2", keys: { l2: entries.length } })
  const page = await listener.operation("scan", undefined, read, describe, signal)
  return {
    entries: page.entries.map(({ key, value, version, expiresAt }) =>
      entryOf(key, value, version, expiresAt),
    ),
    ...(page.next === undefined ? {} : { nextCursor: cursorToken(place, prefix, page.next) }),
  }
}
