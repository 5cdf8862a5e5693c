import type { Command } from "commander"
import type { Kv } from "../../api.ts"
import { EXIT } from "../failure.ts"
import { type Exit, type Io, write } from "../io.ts"
import { wholeNumber } from "../numbers.ts"
import { toJson, toLine } from "../show.ts"
import { type StoreOptions, storeCommand, withStore } from "./store-command.ts"

/** Entries in one page: enough to need few requests, few enough that the first lines appear at once. */
const PAGE_ENTRIES = 100

interface ScanOptions extends StoreOptions {
  limit?: number
  keysOnly?: boolean
}

export function scanCommand(io: Io, exit: Exit): Command {
  return storeCommand("scan", "lists the entries whose key starts with a prefix: key, tab, value on one line")
    .argument("[prefix]", "none for all entries", "")
    .option("--limit <n>", "stop after so many entries", wholeNumber)
    .option("--keys-only", "list the keys alone")
    .action(async (prefix: string, options: ScanOptions) =>
      exit(await withStore(options, (store) => scan(store, prefix, options, io))),
    )
}

async function scan(store: Kv, prefix: string, options: ScanOptions, io: Io): Promise<number> {
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
