import { MAX_VALUE_BYTES } from "../../tiers/limits.ts"
import { formatBytes, formatCount, formatDuration } from "../../tiers/util/format.ts"
import type { Kv } from "../api.ts"
import { EXIT, InputError } from "./failure.ts"
import { type Io, readAll, write } from "./io.ts"
import { toJson, toLine, toPrintable } from "./show.ts"

/** Each command on an open store: writes its answer and gives the exit code. */

/** More than any value may have; how much more a pipe would bring is not worth waiting for. */
const MAX_INPUT_BYTES = 1024 * 1024
/** The probe of `stats`: a key that need not be there. */
const PROBE_KEY = "tiered-kv:probe"

interface Shown {
  json?: boolean
}

export interface GetOptions extends Shown {
  raw?: boolean
  strong?: boolean
}

export async function get(store: Kv, key: string, options: GetOptions, io: Io): Promise<number> {
  const entry = await store.getEntry(key, consistencyOf(options))
  if (entry === undefined) {
    if (options.json) await writeJson(io, { key, found: false })
    else await write(io.stderr, "absent\n")
    return EXIT.no
  }
  if (options.json) await writeJson(io, { found: true, ...toJson(entry) })
  else if (options.raw || !io.stdout.isTTY) await write(io.stdout, entry.value)
  else await writeToTerminal(io, entry.value)
  return EXIT.done
}

async function writeToTerminal(io: Io, value: Uint8Array): Promise<void> {
  const text = toPrintable(value)
  if (text !== undefined) await write(io.stdout, text.endsWith("\n") ? text : `${text}\n`)
  else {
    const size = formatCount(value.byteLength)
    await write(
      io.stderr,
      `${size} bytes that a terminal cannot show; pipe them on, or use --raw or --json\n`,
    )
  }
}

export interface SetOptions extends Shown {
  ttlMs?: number
  ifNotExists?: boolean
  ifVersion?: string
}

export async function set(
  store: Kv,
  key: string,
  text: string | undefined,
  options: SetOptions,
  io: Io,
): Promise<number> {
  const value = text === undefined || text === "-" ? await valueFromStdin(io) : text
  const { ttlMs, ifNotExists, ifVersion } = options
  const result = await store.put(key, value, {
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(ifNotExists === undefined ? {} : { ifNotExists }),
    ...(ifVersion === undefined ? {} : { ifVersion }),
  })
  if (options.json) await writeJson(io, { key, ...result })
  else if (!result.applied) {
    const why = ifNotExists ? "the key is there already" : "the entry there does not have this version"
    await write(io.stderr, `not written: ${why}\n`)
  }
  return result.applied ? EXIT.done : EXIT.no
}

async function valueFromStdin(io: Io): Promise<Uint8Array> {
  if (io.stdin.isTTY) {
    throw new InputError("USAGE", "the value is missing: give it after the key, or pipe it in")
  }
  const bytes = await readAll(io.stdin, MAX_INPUT_BYTES)
  if (bytes !== undefined) return bytes
  throw new InputError(
    "VALUE_TOO_LARGE",
    `standard input holds more than ${formatBytes(MAX_INPUT_BYTES)}; a value has at most ${formatCount(MAX_VALUE_BYTES)} bytes (${formatBytes(MAX_VALUE_BYTES)})`,
  )
}

export interface DeleteOptions extends Shown {
  ifVersion?: string
}

export async function remove(store: Kv, key: string, options: DeleteOptions, io: Io): Promise<number> {
  const { ifVersion } = options
  const applied = await store.delete(key, ifVersion === undefined ? {} : { ifVersion })
  if (options.json) await writeJson(io, { key, applied })
  else if (!applied) await write(io.stderr, "not deleted: the entry there does not have this version\n")
  return applied ? EXIT.done : EXIT.no
}

export interface ExistsOptions extends Shown {
  strong?: boolean
}

export async function exists(store: Kv, key: string, options: ExistsOptions, io: Io): Promise<number> {
  const there = await store.exists(key, consistencyOf(options))
  if (options.json) await writeJson(io, { key, exists: there })
  else await write(io.stdout, `${there}\n`)
  return there ? EXIT.done : EXIT.no
}

export interface ScanOptions extends Shown {
  limit?: number
  keysOnly?: boolean
}

export async function scan(store: Kv, prefix: string, options: ScanOptions, io: Io): Promise<number> {
  const limit = options.limit ?? Number.POSITIVE_INFINITY
  let left = limit
  let cursor: string | undefined
  do {
    const page = await store.scanPage(prefix, {
      limit: Math.min(left, PAGE_ENTRIES),
      ...(cursor === undefined ? {} : { cursor }),
    })
    const lines = page.entries.slice(0, left).map((entry) => {
      if (options.json) return JSON.stringify(options.keysOnly ? { key: entry.key } : toJson(entry))
      return options.keysOnly ? entry.key : `${entry.key}\t${toLine(entry.value)}`
    })
    if (lines.length > 0) await write(io.stdout, `${lines.join("\n")}\n`)
    left -= lines.length
    cursor = page.nextCursor
  } while (cursor !== undefined && left > 0)
  return EXIT.done
}

/** Entries a request: large enough to be cheap, small enough that the first lines come at once. */
const PAGE_ENTRIES = 100

export interface StatsOptions extends Shown {
  count?: boolean
  prefix?: string
}

export async function stats(store: Kv, options: StatsOptions, io: Io): Promise<number> {
  const { name, backend } = store.stats()
  const start = performance.now()
  await store.exists(PROBE_KEY, { consistency: "strong" })
  const probeMs = performance.now() - start
  const counted = options.count ? await countEntries(store, options.prefix ?? "") : undefined
  if (options.json) {
    await writeJson(io, { name, backend, probeMs, ...(counted === undefined ? {} : { counted }) })
    return EXIT.done
  }
  const lines = [
    `name      ${name}`,
    `backend   ${backend.kind}`,
    `target    ${backend.target}`,
    `answered  in ${formatDuration(probeMs)}`,
  ]
  if (counted !== undefined) {
    lines.push(
      `entries   ${formatCount(counted.entries)}, ${formatCount(counted.expiring)} of them with an expiry`,
      `values    ${formatBytes(counted.valueBytes)}, the largest ${formatBytes(counted.largestValueBytes)}`,
    )
  }
  await write(io.stdout, `${lines.join("\n")}\n`)
  return EXIT.done
}

async function countEntries(store: Kv, prefix: string) {
  const counted = { prefix, entries: 0, expiring: 0, valueBytes: 0, largestValueBytes: 0 }
  for await (const { value, expiresAt } of store.scan(prefix, { limit: 1_000 })) {
    counted.entries++
    if (expiresAt !== undefined) counted.expiring++
    counted.valueBytes += value.byteLength
    counted.largestValueBytes = Math.max(counted.largestValueBytes, value.byteLength)
  }
  return counted
}

function consistencyOf({ strong }: { strong?: boolean }) {
  return strong ? ({ consistency: "strong" } as const) : {}
}

function writeJson(io: Io, answer: object): Promise<void> {
  return write(io.stdout, `${JSON.stringify(answer)}\n`)
}
