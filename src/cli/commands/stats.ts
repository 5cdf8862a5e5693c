import { type Command, Option } from "commander"
import { formatBytes, formatCount, formatDuration } from "../../../tiers/util/format.ts"
import type { Kv } from "../../api.ts"
import { EXIT } from "../failure.ts"
import { type Exit, type Io, write } from "../io.ts"
import { type StoreOptions, storeCommand, withStore, writeJson } from "./store-command.ts"

/** The key whose read is timed. It may be absent. */
const PROBE_KEY = "tiered-kv:probe"

interface StatsOptions extends StoreOptions {
  count?: boolean
  prefix?: string
}

export function statsCommand(io: Io, exit: Exit): Command {
  return storeCommand("stats", "says which backend a store has and how fast it answers one read")
    .addOption(new Option("--count", "count entries and bytes: reads the whole store, which a cloud bills"))
    .option("--prefix <prefix>", "with --count, of these keys alone")
    .action(async (options: StatsOptions) =>
      exit(await withStore(options, (store) => stats(store, options, io))),
    )
}

async function stats(store: Kv, options: StatsOptions, io: Io): Promise<number> {
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
