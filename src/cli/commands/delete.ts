import type { Command } from "commander"
import type { Kv } from "../../api.ts"
import { EXIT } from "../failure.ts"
import { type Exit, type Io, write } from "../io.ts"
import { type StoreOptions, storeCommand, withStore, writeJson } from "./store-command.ts"

interface DeleteOptions extends StoreOptions {
  ifVersion?: string
}

export function deleteCommand(io: Io, exit: Exit): Command {
  return storeCommand("delete", "removes an entry; done as well if there is none")
    .argument("<key>")
    .option("--if-version <version>", "only if the entry there has this version")
    .action(async (key: string, options: DeleteOptions) =>
      exit(await withStore(options, (store) => remove(store, key, options, io))),
    )
}

async function remove(store: Kv, key: string, options: DeleteOptions, io: Io): Promise<number> {
  const { ifVersion } = options
  const applied = await store.delete(key, ifVersion === undefined ? {} : { ifVersion })
  if (options.json) await writeJson(io, { key, applied })
  else if (!applied) await write(io.stderr, "not deleted: the entry there does not have this version\n")
  return applied ? EXIT.done : EXIT.no
}
