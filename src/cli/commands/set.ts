import { type Command, Option } from "commander"
import { MAX_VALUE_BYTES } from "../../../tiers/limits.ts"
import { formatBytes, formatCount } from "../../../tiers/util/format.ts"
import type { Kv } from "../../api.ts"
import { EXIT, InputError } from "../failure.ts"
import { type Exit, type Io, readAll, write } from "../io.ts"
import { number } from "../numbers.ts"
import { type StoreOptions, storeCommand, withStore, writeJson } from "./store-command.ts"

/** Longest input, bytes. A value may have fewer, so a longer input is refused without reading the rest. */
const MAX_INPUT_BYTES = 1024 * 1024

interface SetOptions extends StoreOptions {
  ttlMs?: number
  ifNotExists?: boolean
  ifVersion?: string
}

export function setCommand(io: Io, exit: Exit): Command {
  return storeCommand("set", "writes a value: the argument as UTF-8, or standard input byte for byte")
    .argument("<key>")
    .argument("[value]", "text; - or none for standard input")
    .option("--ttl-ms <ms>", "time to live, a whole number of milliseconds; none means no expiry", number)
    .addOption(new Option("--if-not-exists", "only if no live entry is there").conflicts("ifVersion"))
    .option("--if-version <version>", "only if the entry there has this version, as get --json shows it")
    .action(async (key: string, value: string | undefined, options: SetOptions) =>
      exit(await withStore(options, (store) => set(store, key, value, options, io), { mayMake: true })),
    )
}

async function set(
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
