import { systemRuntime } from "../../../tiers/runtime.ts"
import { formatCount } from "../../../tiers/util/format.ts"
import { EXIT, InputError } from "../failure.ts"
import { INTERRUPTED, interruptible } from "../interrupt.ts"
import { type Io, write } from "../io.ts"
import { progressBar } from "../progress.ts"
import { type AccessLog, openAccessLog } from "./access-log.ts"
import { L1Simulation, sizesAround } from "./l1-simulation.ts"
import { logClock } from "./log-clock.ts"
import type { Access, LogFormat } from "./log-format.ts"
import { type ReplayReport, reportOf } from "./report.ts"
import { Replay } from "./run.ts"
import { openStores } from "./stores.ts"
import { renderReport } from "./text.ts"

export interface ReplayOptions {
  format?: LogFormat
  backend?: string
  l1Entries: number
  l1Bytes: number
  l1TtlMs: number
  concurrency?: number
  valueBytes: number
  limit?: number
  json?: boolean
}

/** Concurrent accesses over a network by default: as many as a busy server has. */
const NETWORK_CONCURRENCY = 32

/** Replays the access log in `file` through both tiers and writes a report. Ctrl-C ends the replay with a report of the part so far. */
export async function replay(file: string, options: ReplayOptions, io: Io): Promise<number> {
  const { signal, release } = interruptible()
  try {
    const { stdin } = io
    const log = await openAccessLog(file, {
      stdin,
      signal,
      ...(options.format === undefined ? {} : { format: options.format }),
    })
    const report = await replayLog(file, log, options, io, signal)
    await write(io.stdout, options.json ? `${JSON.stringify(report)}\n` : renderReport(report))
    return signal.aborted ? INTERRUPTED : EXIT.done
  } catch (error) {
    if (signal.aborted) return INTERRUPTED
    throw error
  } finally {
    release()
  }
}

async function replayLog(
  file: string,
  log: AccessLog,
  options: ReplayOptions,
  io: Io,
  signal: AbortSignal,
): Promise<ReplayReport> {
  const timed = log.format === "twitter"
  const clock = logClock()
  const l1 = {
    maxEntries: options.l1Entries,
    maxBytes: options.l1Bytes,
    // The speed of a replay is not the speed of the traffic: without times in the log nothing expires.
    ttlMs: timed ? options.l1TtlMs : Number.MAX_SAFE_INTEGER,
    jitter: 0,
  }
  const stores = await openStores(options.backend, l1, timed ? clock.runtime : systemRuntime)
  const { concurrency = stores.inProcess ? 1 : NETWORK_CONCURRENCY, valueBytes, limit } = options
  const bar = progressBar(io, "replaying", limit ?? log.totalBytes)
  try {
    const simulation = new L1Simulation(
      sizesAround(l1.maxEntries),
      timed ? l1.ttlMs : Number.POSITIVE_INFINITY,
    )
    const replay = new Replay(stores, stores.keys, simulation, clock, { concurrency, valueBytes, signal })
    try {
      for await (const batch of atMost(limit, log)) {
        await replay.run(batch)
        const { accesses } = replay.tally
        bar.update(limit === undefined ? log.bytesRead() : accesses, `${formatCount(accesses)} accesses`)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
    if (replay.tally.accesses === 0 && !signal.aborted) throw nothingRead(file, log)
    return reportOf({
      log: {
        file: file === "-" ? "standard input" : file,
        format: log.format,
        distinctKeys: stores.keys.size,
        hashedKeys: stores.keys.hashed,
        badLines: log.badLines(),
        interrupted: signal.aborted,
      },
      tally: replay.tally,
      stats: stores.measured.stats(),
      l1TtlMs: timed ? l1.ttlMs : undefined,
      concurrency,
      simulated: { reads: simulation.reads, sizes: simulation.result() },
    })
  } finally {
    bar.stop()
    await stores.close()
  }
}

async function* atMost(limit: number | undefined, log: AccessLog): AsyncGenerator<Access[]> {
  let left = limit ?? Number.POSITIVE_INFINITY
  for await (const batch of log.batches) {
    if (batch.length >= left) {
      yield batch.slice(0, left)
      return
    }
    left -= batch.length
    yield batch
  }
}

function nothingRead(file: string, log: AccessLog): InputError {
  const { count, first } = log.badLines()
  const [example] = first
  const why = example === undefined ? "" : `; line ${example.line}: ${example.reason}`
  const name = file === "-" ? "standard input" : file
  return new InputError(
    "INPUT_EMPTY",
    `${name} holds no accesses, but ${formatCount(count)} lines that could not be read${why}`,
  )
}
