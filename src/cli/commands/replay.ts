import { Command, Option } from "commander"
import { DEFAULTS } from "../../../tiers/limits.ts"
import type { Exit, Io } from "../io.ts"
import { wholeNumber, wholeNumberOrZero } from "../numbers.ts"
import { LOG_FORMATS } from "../replay/log-format.ts"
import type { ReplayOptions } from "../replay/replay.ts"

export function replayCommand(io: Io, exit: Exit): Command {
  return new Command("replay")
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
    .addHelpText("after", AFTER_HELP)
    .action(async (file: string, options: ReplayOptions) => {
      const { replay } = await import("../replay/replay.ts")
      exit(await replay(file, options, io))
    })
}

const AFTER_HELP = `
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
