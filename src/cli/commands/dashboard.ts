import { Command, InvalidArgumentError, Option } from "commander"
import type { DashboardCommand } from "../dashboard.ts"
import type { Exit, Io } from "../io.ts"
import { wholeNumberOrZero } from "../numbers.ts"

export function dashboardCommand(io: Io, exit: Exit): Command {
  return new Command("dashboard")
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
      const { dashboard } = await import("../dashboard.ts")
      exit(await dashboard(urls, options, io))
    })
}

function portNumber(text: string): number {
  const value = wholeNumberOrZero(text)
  if (value <= 65_535) return value
  throw new InvalidArgumentError("It is not a port: a whole number of at most 65535.")
}
