import { join } from "node:path"
import { serveDashboard } from "../../src/cli/dashboard.ts"
import { type Io, write } from "../../src/cli/io.ts"
import { progressBar } from "../../src/cli/progress.ts"
import { temporaryDirectory } from "../../src/cli/temporary-directory.ts"
import { type Kv, type KvOptions, kv } from "../../src/index.ts"
import { type Document, installedPackages } from "./documents.ts"
import { fill } from "./fill.ts"
import { type Reading, read } from "./readers.ts"
import { type Run, renderFilled, renderPackages, renderRuns } from "./summary.ts"

export interface DemonstrationOptions extends Reading {
  /** Entries that L1 holds at most, in the run that has one. */
  readonly l1Entries: number
  /** Port of the live page; 0: any free port; absent: no page. */
  readonly dashboardPort?: number
}

/** One in this many documents is not stored in advance, but loaded from its file at its first read. */
const UNSTORED_EVERY = 10

/** Stores the files of installed packages in LMDB, and reads them with L1 and without. */
export async function demonstrate(options: DemonstrationOptions, io: Io): Promise<void> {
  const packages = await installedPackages()
  const documents = packages.flatMap((one) => one.documents)
  await write(io.stdout, `${renderPackages(packages)}\n\n`)

  const directory = await temporaryDirectory("tiered-kv-start-")
  const live = await serveLive(options.dashboardPort, io)
  const backend = `lmdb:${join(directory.path, "store")}`
  try {
    const filled = await withStore({ backend }, (store) => fill(store, documents))
    await write(io.stdout, `${renderFilled(filled)}\n\n`)
    await write(io.stdout, `${describeReading(options, filled.accepted.length)}\n\n`)

    const runs: Run[] = []
    const endless = options.seconds === Number.POSITIVE_INFINITY
    const bar = progressBar(io, "reading", endless ? undefined : 2 * options.seconds * 1_000)
    try {
      for (const [title, l1] of [
        ["with L1", { maxEntries: options.l1Entries }],
        ["L1 off", false],
      ] as const) {
        const startsAtMs = runs.length * options.seconds * 1_000
        const onTurn = (elapsedMs: number) => bar.update(startsAtMs + elapsedMs, title)
        runs.push(
          await withStore({ backend, l1 }, (store) => run(store, title, filled.accepted, options, onTurn)),
        )
      }
    } finally {
      bar.stop()
    }
    await write(io.stdout, `${renderRuns(runs)}\n`)
  } finally {
    await live?.close()
    await directory.remove()
  }
}

/** The live page of this process, if `port` is given. */
async function serveLive(port: number | undefined, io: Io) {
  if (port === undefined) return undefined
  const served = await serveDashboard("127.0.0.1", port, { name: "npm start" })
  await write(io.stdout, `Live page: ${served.url}\n\n`)
  return served
}

async function run(
  store: Kv,
  title: string,
  documents: readonly Document[],
  options: DemonstrationOptions,
  onTurn: (elapsedMs: number) => void,
): Promise<Run> {
  const unstored = new Set(documents.filter((_document, index) => index % UNSTORED_EVERY === 0))
  await store.deleteMany([...unstored].map(({ key }) => key))
  const tally = await read(store, documents, unstored, options, onTurn)
  return { title, tally, stats: store.stats() }
}

async function withStore<T>(options: KvOptions, use: (store: Kv) => Promise<T>): Promise<T> {
  const store = await kv("documents", options)
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

function describeReading(
  { readers, seconds, seed, exponent, l1Entries }: DemonstrationOptions,
  documents: number,
): string {
  const endless = seconds === Number.POSITIVE_INFINITY
  return [
    endless
      ? `Reading until Ctrl-C with L1, held to ${l1Entries} of ${documents} documents so that both tiers have work.`
      : `Reading for ${seconds} s with L1, held to ${l1Entries} of ${documents} documents so that both tiers have work,`,
    `${endless ? "" : `and for ${seconds} s without. `}${readers} concurrent readers; their choice is synthetic: Zipf popularity,`,
    `exponent ${exponent}, seed ${seed}. Every read is compared with the file. One document in ${UNSTORED_EVERY} is not stored`,
    "beforehand: getOrSet loads it from its file when it is first read.",
  ].join("\n")
}
