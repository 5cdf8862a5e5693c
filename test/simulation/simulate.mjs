// `npm run simulate`: fleets of processes over a bus, and races of calls, from a seed.
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const USAGE = `npm run simulate -- [--seed N] [--events N] [--workers N] [--races N]

  --seed N     the first seed; a failure names the seed that repeats it (default: a random one)
  --events N   events of the fleets: calls, messages and faults (default: 10000000)
  --workers N  processes that share the events, each from a seed a million later on (default: 1)
  --races N    instead of fleets: so many races over a backend in the process, and as many over a network
`

function wholeNumber(name, text, least) {
  const number = Number(text)
  if (Number.isSafeInteger(number) && number >= least) return number
  process.stderr.write(`--${name} is a whole number of at least ${least}; got ${text}\n\n${USAGE}`)
  process.exit(2)
}

function parsed() {
  const option = { type: "string" }
  try {
    return parseArgs({
      options: { seed: option, events: option, workers: option, races: option, help: { type: "boolean" } },
    }).values
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${USAGE}`)
    process.exit(2)
  }
}

/** Resolves to the exit code. */
function vitest(file, environment) {
  const bin = fileURLToPath(new URL("../../node_modules/vitest/vitest.mjs", import.meta.url))
  const child = spawn(process.execPath, [bin, "run", file, "--disable-console-intercept"], {
    stdio: "inherit",
    env: { ...process.env, ...environment },
  })
  return new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)))
}

const options = parsed()
if (options.help) {
  process.stdout.write(USAGE)
  process.exit(0)
}
const seed =
  options.seed === undefined ? Math.floor(Math.random() * 1e9) : wholeNumber("seed", options.seed, 0)
if (options.races !== undefined) {
  const races = wholeNumber("races", options.races, 1)
  const environment = { RACE_RUNS: String(races), RACE_SEED: String(seed) }
  process.exit(await vitest("test/simulation/races.test.ts", environment))
}
const workers = wholeNumber("workers", options.workers ?? "1", 1)
const events = Math.ceil(wholeNumber("events", options.events ?? "10000000", 1) / workers)
const runs = Array.from({ length: workers }, (_, worker) =>
  vitest("test/simulation/fleet/fleet.test.ts", {
    FLEET_SEED: String(seed + worker * 1_000_000),
    FLEET_EVENTS: String(events),
  }),
)
process.exit(Math.max(...(await Promise.all(runs))))
