import { Command, InvalidArgumentError } from "commander"
import { INTERRUPTED, interruptible } from "../src/cli/interrupt.ts"
import { type DemonstrationOptions, demonstrate } from "./start/demonstration.ts"

interface Options extends Omit<DemonstrationOptions, "dashboardPort"> {
  dashboard?: number | true
}

const command = new Command("npm start --")
  .description(
    "Stores the files of installed packages in LMDB, reads them through both tiers, and says what L1 saved.",
  )
  .option("--seconds <n>", "how long to read, with L1 and without, each", positive, 4)
  .option("--readers <n>", "concurrent readers", wholeNumber, 64)
  .option("--seed <n>", "seed of the readers' choice of documents", wholeNumber, 20_240_601)
  .option("--exponent <x>", "skew of the documents' popularity: 0 for none", number, 1)
  .option("--l1-entries <n>", "entries that L1 holds at most", wholeNumber, 200)
  .option(
    "--dashboard [port]",
    "serve a live page, and read with L1 until Ctrl-C unless told --seconds",
    port,
  )
  .parse()
const { dashboard, ...options } = command.opts<Options>()
if (dashboard !== undefined && command.getOptionValueSource("seconds") === "default") {
  options.seconds = Number.POSITIVE_INFINITY
}

const { signal } = interruptible()
try {
  const dashboardPort = dashboard === true ? 0 : dashboard
  await demonstrate(
    { ...options, signal, ...(dashboardPort === undefined ? {} : { dashboardPort }) },
    process,
  )
} catch (error) {
  if (!signal.aborted) throw error
  process.exitCode = INTERRUPTED
}

function number(text: string): number {
  const value = Number(text)
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value
  throw new InvalidArgumentError("It is not a number of at least 0.")
}

function positive(text: string): number {
  const value = number(text)
  if (value > 0) return value
  throw new InvalidArgumentError("It is not a number above 0.")
}

function port(text: string): number {
  const value = number(text)
  if (Number.isSafeInteger(value) && value <= 65_535) return value
  throw new InvalidArgumentError("It is not a port: a whole number of at most 65535.")
}

function wholeNumber(text: string): number {
  const value = number(text)
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new InvalidArgumentError("It is not a whole number of at least 1.")
}
