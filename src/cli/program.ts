import { readFileSync } from "node:fs"
import { Command, CommanderError, InvalidArgumentError, Option } from "commander"
import { DEFAULTS } from "../../tiers/limits.ts"
import type { Kv } from "../api.ts"
import * as commands from "./commands.ts"
import type { DashboardCommand } from "./dashboard.ts"
import { describeFailure, EXIT, exitCodeOf, InputError } from "./failure.ts"
import { type Io, isClosedPipe, write } from "./io.ts"
import { LOG_FORMATS } from "./replay/log-format.ts"
import type { ReplayOptions } from "./replay/replay.ts"

/** Runs one command line, the program's own name left out. Resolves to the exit code; rejects for no reason of the user's. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let exitCode: number = EXIT.done
  let help = ""
  // Without a listener the error would end the process; the writes that fail report it as well.
  io.stdout.on("error", ignore)
  const program = tieredKv(io, (code) => {
    exitCode = code
  })
  // Help that was asked for goes to stdout; what commander has to say about an error is said below, in our own form.
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => void io.stdout.write(text),
      writeErr: (text) => {
        help += text
      },
    })
  }
  try {
    await program.parseAsync(args, { from: "user" })
    return exitCode
  } catch (error) {
    if (isClosedPipe(error)) return EXIT.done
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done
    if (error instanceof CommanderError && error.code === "commander.help") {
      await write(io.stderr, help)
      return EXIT.usage
    }
    const failure = error instanceof CommanderError ? misuse(error) : error
    await write(
      io.stderr,
      describeFailure(failure, { json: has(args, "--json"), debug: has(args, "--debug") }),
    )
    return exitCodeOf(failure)
  } finally {
    io.stdout.off("error", ignore)
  }
}

function tieredKv(io: Io, done: (exitCode: number) => void): Command {
  const program = new Command("tiered-kv")
    .description(
      "Reads and writes a tiered-kv store, replays access logs through its two tiers, and shows running ones.",
    )
    .version(version())
    .helpCommand(true)
    .addHelpText("after", AFTER_HELP)

  const onStore = (name: string, description: string) =>
    program
      .command(name)
      .description(description)
      .addOption(
        new Option(
          "-b, --backend <url>",
          "the store by its URL: lmdb:PATH, redis://…, dynamodb://REGION/TABLE, …",
        ).conflicts("name"),
      )
      .option("-n, --name <name>", "the store by its name, found as kv(name) finds it", "cache")
      .option("--json", "answer, and fail, in JSON")
      .option("--debug", "show the stack of a failure")

  const withStore = async (options: StoreOptions, command: (store: Kv) => Promise<number>) => {
    const { kv } = await import("../kv.ts")
    const { name, backend } = options
    // One command reads each key once, and ends before anybody could look: L1 and telemetry would only cost.
    const store = await kv(name, {
      l1: false,
      telemetry: false,
      ...(backend === undefined ? {} : { backend }),
    })
    try {
      done(await command(store))
    } finally {
      await store.close()
    }
  }

  onStore("get", "writes the value of a key, exactly its bytes into a file or a pipe")
    .argument("<key>")
    .addOption(new Option("--raw", "exactly the bytes, on a terminal as well").conflicts("json"))
    .option("--strong", 'with consistency: "strong"')
    .action((key: string, options: StoreOptions & commands.GetOptions) =>
      withStore(options, (store) => commands.get(store, key, options, io)),
    )

  onStore("set", "writes a value: the argument as UTF-8, or standard input byte for byte")
    .argument("<key>")
    .argument("[value]", "text; - or none for standard input")
    .option("--ttl-ms <ms>", "time to live, a whole number of milliseconds; none means no expiry", number)
    .addOption(new Option("--if-not-exists", "only if no live entry is there").conflicts("ifVersion"))
    .option("--if-version <version>", "only if the entry there has this version, as get --json shows it")
    .action((key: string, value: string | undefined, options: StoreOptions & commands.SetOptions) =>
      withStore(options, (store) => commands.set(store, key, value, options, io)),
    )

  onStore("delete", "removes an entry; done as well if there is none")
    .argument("<key>")
    .option("--if-version <version>", "only if the entry there has this version")
    .action((key: string, options: StoreOptions & commands.DeleteOptions) =>
      withStore(options, (store) => commands.remove(store, key, options, io)),
    )

  onStore("exists", "writes true or false, and exits with 0 or 1")
    .argument("<key>")
    .option("--strong", 'with consistency: "strong"')
    .action((key: string, options: StoreOptions & commands.ExistsOptions) =>
      withStore(options, (store) => commands.exists(store, key, options, io)),
    )

  onStore("scan", "lists the entries whose key starts with a prefix: key, tab, value on one line")
    .argument("[prefix]", "none for all entries", "")
    .option("--limit <n>", "stop after so many entries", wholeNumber)
    .option("--keys-only", "list the keys alone")
    .action((prefix: string, options: StoreOptions & commands.ScanOptions) =>
      withStore(options, (store) => commands.scan(store, prefix, options, io)),
    )

  onStore("stats", "says which backend a store has and how fast it answers one read")
    .addOption(new Option("--count", "count entries and bytes: reads the whole store, which a cloud bills"))
    .option("--prefix <prefix>", "with --count, of these keys alone")
    .action((options: StoreOptions & commands.StatsOptions) =>
      withStore(options, (store) => commands.stats(store, options, io)),
    )

  program
    .command("replay")
    .description("replays an access log through both tiers, and says what other sizes of L1 would have done")
    .argument("<file>", "the log, plain or gzip; - for standard input")
    .addOption(new Option("-f, --format <format>", "instead of finding it out").choices(LOG_FORMATS))
    .option("-b, --backend <url>", "the backend to read through (default: a temporary LMDB store)")
    .option("--l1-entries <n>", "entries that L1 holds at most", wholeNumber, DEFAULTS.l1.maxEntries)
    .option("--l1-bytes <n>", "bytes that L1 holds at most", wholeNumber, DEFAULTS.l1.maxBytes)
    .option(
      "--l1-ttl-ms <ms>",
      "how long L1 answers with an entry, in the time of the log",
      wholeNumber,
      DEFAULTS.l1.ttlMs,
    )
    .option(
      "--concurrency <n>",
      "accesses under way at once (default: 1 on an embedded backend, 32 over a network)",
      wholeNumber,
    )
    .option("--value-bytes <n>", "size of a value where the log does not say", wholeNumberOrZero, 128)
    .option("--limit <n>", "stop after so many accesses", wholeNumber)
    .option("--json", "report, and fail, in JSON")
    .option("--debug", "show the stack of a failure")
    .addHelpText("after", AFTER_REPLAY_HELP)
    .action(async (file: string, options: ReplayOptions) => {
      const { replay } = await import("./replay/replay.ts")
      done(await replay(file, options, io))
    })

  program
    .command("dashboard")
    .description("serves a live page of the stores of other processes, until Ctrl-C")
    .argument("[urls...]", "where those processes mounted their dashboards; ?token=… gives the token of one")
    .option("--host <address>", "the address to listen on; any but loopback asks for a token", "127.0.0.1")
    .option("--port <n>", "the port to listen on, 0 for any free one", portNumber, 7437)
    .addOption(
      new Option(
        "--token <token>",
        "what the page asks for, and what those processes are sent that have no token of their own",
      ).env("TIERED_KV_DASHBOARD_TOKEN"),
    )
    .option("--debug", "show the stack of a failure")
    .action(async (urls: string[], options: DashboardCommand) => {
      const { dashboard } = await import("./dashboard.ts")
      done(await dashboard(urls, options, io))
    })

  return program
}

interface StoreOptions {
  name: string
  backend?: string
}

const AFTER_HELP = `
The store, unless --backend names it, is that of kv(name): KV_<NAME>_URL in the environment, or else LMDB under
.kv/<name> of the working directory. A URL with a password belongs into the environment, not into the arguments.

Exit codes:
  0  done; true
  1  absent, or a condition did not hold: get or exists of an absent key, a set --if-not-exists that lost
  2  wrong usage or bad input
  3  the store failed

Examples:
  tiered-kv set user:123 '{"name":"Alice"}'     tiered-kv get user:123
  tiered-kv set page:1 --ttl-ms 60000 < page    tiered-kv get page:1 > copy
  tiered-kv scan user: --keys-only | head       tiered-kv replay access.log.gz --l1-entries 5000`

const AFTER_REPLAY_HELP = `
Formats, told apart by the first lines:
  keys     one key a line, each a read
  twitter  CSV of Twitter's public cache traces: time,key,key size,value size,client,operation,ttl (seconds)

Keys that are not legal here are replaced by a hash of themselves, and counted. Each key that the log reads before it
writes it is stored first, so that the read finds it; those writes are neither timed nor counted. On a --backend of
yours all this happens under a prefix of its own, and is removed at the end.

The other sizes come from one pass over the log (exact LRU stack distances): the hits of an L1 bounded by entries, with
writes that invalidate. In a log with times, entries also expire, after the L1 TTL and with their own TTL; in one
without, nothing expires. Not modelled: the bound in bytes, known absences, and concurrency.

One access at a time gives the log's own order. More at once show what is coalesced; but a replay is faster than the
traffic was, so that more reads meet a write under way, which keeps them out of L1.`

function misuse(error: CommanderError): InputError {
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ")
  return new InputError("USAGE", `${message}; tiered-kv help says more`, { cause: error })
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("It is not a number.")
  return value
}

function wholeNumber(text: string): number {
  const value = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= 1) return value
  throw new InvalidArgumentError("It is not a whole number of at least 1.")
}

function wholeNumberOrZero(text: string): number {
  return text === "0" ? 0 : wholeNumber(text)
}

function portNumber(text: string): number {
  const value = wholeNumberOrZero(text)
  if (value <= 65_535) return value
  throw new InvalidArgumentError("It is not a port: a whole number of at most 65535.")
}

function version(): string {
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8"))
      if (typeof found === "object" && found !== null && "version" in found) return String(found.version)
    } catch {
      // Sources lie one level above the package, the build two.
    }
  }
  return "unknown"
}

function has(args: readonly string[], flag: string): boolean {
  const end = args.indexOf("--")
  return (end === -1 ? args : args.slice(0, end)).includes(flag)
}

function ignore(): void {}
