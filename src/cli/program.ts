import { readFileSync } from "node:fs"
import { Command, CommanderError } from "commander"
import { dashboardCommand } from "./commands/dashboard.ts"
import { deleteCommand } from "./commands/delete.ts"
import { existsCommand } from "./commands/exists.ts"
import { getCommand } from "./commands/get.ts"
import { replayCommand } from "./commands/replay.ts"
import { scanCommand } from "./commands/scan.ts"
import { setCommand } from "./commands/set.ts"
import { statsCommand } from "./commands/stats.ts"
import { describeFailure, EXIT, exitCodeOf, InputError } from "./failure.ts"
import { type Exit, type Io, isClosedPipe, write } from "./io.ts"

/** All commands, in the order of the help. Each file in `commands/` describes and runs its command. */
const COMMANDS = [
  getCommand,
  setCommand,
  deleteCommand,
  existsCommand,
  scanCommand,
  statsCommand,
  replayCommand,
  dashboardCommand,
]

/** Runs one command line, without the name of the program. Resolves to the exit code, also after an error of the user. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let exitCode: number = EXIT.done
  let help = ""
  // Without a listener the error would end the process. The failing writes report it too.
  io.stdout.on("error", ignore)
  const program = tieredKv(io, (code) => {
    exitCode = code
  })
  // Requested help goes to stdout. Errors of commander are reported below, in the form of this command line.
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

function tieredKv(io: Io, exit: Exit): Command {
  const program = new Command("tiered-kv")
    .description(
      "Reads and writes a tiered-kv store, replays access logs through its two tiers, and shows running ones.",
    )
    .version(version())
    .helpCommand(true)
    .addHelpText("after", AFTER_HELP)
  for (const command of COMMANDS) program.addCommand(command(io, exit))
  return program
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

function misuse(error: CommanderError): InputError {
  const message = error.message.replace(/^error: /, "").replaceAll("\n", " ")
  return new InputError("USAGE", `${message}; tiered-kv help says more`, { cause: error })
}

function version(): string {
  for (const up of ["../../package.json", "../../../package.json"]) {
    try {
      const found: unknown = JSON.parse(readFileSync(new URL(up, import.meta.url), "utf8"))
      if (typeof found === "object" && found !== null && "version" in found) return String(found.version)
    } catch {
      // The package.json is two levels above the source, and three above the build.
    }
  }
  return "unknown"
}

function has(args: readonly string[], flag: string): boolean {
  const end = args.indexOf("--")
  return (end === -1 ? args : args.slice(0, end)).includes(flag)
}

function ignore(): void {}
