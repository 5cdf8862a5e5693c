import { type Command, Option } from "commander"
import { formatCount } from "../../../tiers/util/format.ts"
import type { Kv } from "../../api.ts"
import { EXIT } from "../failure.ts"
import { type Exit, type Io, write } from "../io.ts"
import { toJson, toPrintable } from "../show.ts"
import { consistencyOf, type StoreOptions, storeCommand, withStore, writeJson } from "./store-command.ts"

interface GetOptions extends StoreOptions {
  raw?: boolean
  strong?: boolean
}

export function getCommand(io: Io, exit: Exit): Command {
  return storeCommand("get", "writes the value of a key, exactly its bytes into a file or a pipe")
    .argument("<key>")
    .addOption(new Option("--raw", "exactly the bytes, on a terminal as well").conflicts("json"))
    .option("--strong", 'with consistency: "strong"')
    .action(async (key: string, options: GetOptions) =>
      exit(await withStore(options, (store) => get(store, key, options, io))),
    )
}

async function get(store: Kv, key: string, options: GetOptions, io: Io): Promise<number> {
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
