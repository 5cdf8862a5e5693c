import type { Command } from "commander"
import type { Kv } from "../../api.ts"
import { EXIT } from "../failure.ts"
import { type Exit, type Io, write } from "../io.ts"
import { consistencyOf, type StoreOptions, storeCommand, withStore, writeJson } from "./store-command.ts"

interface ExistsOptions extends StoreOptions {
  strong?: boolean
}

export function existsCommand(io: Io, exit: Exit): Command {
  return storeCommand("exists", "writes true or false, and exits with 0 or 1")
    .argument("<key>")
    .option("--strong", 'with consistency: "strong"')
    .action(async (key: string, options: ExistsOptions) =>
      exit(await withStore(options, (store) => exists(store, key, options, io))),
    )
}

async function exists(store: Kv, key: string, options: ExistsOptions, io: Io): Promise<number> {
  const there = await store.exists(key, consistencyOf(options))
  if (options.json) await writeJson(io, { key, exists: there })
  else await write(io.stdout, `${there}\n`)
  return there ? EXIT.done : EXIT.no
}
