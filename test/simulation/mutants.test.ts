import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { StepCall } from "./calls.ts"
import { lag, type Open, race } from "./race.ts"
import type { WriteFault } from "./table.ts"

/** Runs that a mutant may take to be caught; most take fewer than 300. */
const BUDGET_RUNS = 12_000
/** One that catches them soon; others take up to 8,000 runs for the rarest. */
const SEED = 6

/** A known way to get coherence wrong, as edits of the real code: each text must be there exactly once. */
interface Mutant {
  readonly edits: readonly (readonly [file: string, text: string, becomes: string])[]
  /** The kinds of call whose races show it; `lag` for reads that lag. */
  readonly caughtBy: readonly StepCall[] | "lag"
  /** What befalls the first few writes of those races. @default anything */
  readonly fault?: WriteFault
}

const TWO_TIER = "src/coherence/two-tier.ts"
const WRITES = "src/coherence/write-through.ts"
const LOADS = "src/coherence/loads.ts"
const L1 = "tiers/l1/l1.ts"

const MUTANTS: Readonly<Record<string, Mutant>> = {
  "fill without the dirty check": {
    caughtBy: ["get", "set"],
    edits: [[TWO_TIER, "if (flight.dirty || epoch !== this.#epoch) {", "if (epoch !== this.#epoch) {"]],
  },
  "later readers join a flight older than the write": {
    caughtBy: ["get", "set"],
    edits: [[TWO_TIER, "flight.dirty = true\n    this.#flights.delete(key)", "flight.dirty = true"]],
  },
  "no dirtying at the beginning of a write": {
    caughtBy: ["get", "set"],
    edits: [[WRITES, "this.#barriers.raise(key)\n    this.#dirty(key, own)", "this.#barriers.raise(key)"]],
  },
  "no dirtying at the end of a write": {
    caughtBy: ["get", "set"],
    edits: [[WRITES, "this.#dirty(key, own)\n    this.#barriers.lower(key)", "this.#barriers.lower(key)"]],
  },
  "fill while a write is in flight": {
    caughtBy: ["get", "set"],
    edits: [
      [WRITES, "this.#barriers.raise(key)\n    this.#dirty(key, own)", "this.#dirty(key, own)"],
      [WRITES, "this.#dirty(key, own)\n    this.#barriers.lower(key)", "this.#dirty(key, own)"],
    ],
  },
  "clear that leaves flights able to fill": {
    caughtBy: ["get", "writeElsewhere", "invalidateAll"],
    edits: [[TWO_TIER, "    this.#epoch++\n", ""]],
  },
  "clear that later readers' flights survive": {
    caughtBy: ["get", "writeElsewhere", "invalidateAll"],
    edits: [[TWO_TIER, "    this.#flights.clear()\n", ""]],
  },
  "clear that leaves pages able to fill": {
    caughtBy: ["scanFill", "writeElsewhere", "invalidateAll"],
    edits: [[TWO_TIER, "fill && epoch === this.#epoch && ", "fill && "]],
  },
  "no quarantine after an unknown outcome": {
    caughtBy: ["get", "set"],
    edits: [[WRITES, "if (!known) this.#quarantine(key)", ""]],
  },
  "no quarantine of a write that may land once more": {
    caughtBy: ["get", "set"],
    edits: [[WRITES, "if (outcome.mayLandLate) this.#quarantine(key)", ""]],
  },
  "a quarantine that ends without dirtying": {
    caughtBy: ["get", "set", "wait"],
    fault: "landLate",
    edits: [
      [
        WRITES,
        "this.#barriers.quarantine(key, () => this.#dirty(key))",
        "this.#barriers.quarantine(key, () => {})",
      ],
    ],
  },
  "a failed read that leaves its flight behind": {
    caughtBy: ["get"],
    edits: [
      [
        TWO_TIER,
        "land()\n        this.#reads.failed()",
        "this.#inFlight.end()\n        this.#reads.failed()",
      ],
    ],
  },
  "a failed load that leaves its reservation behind": {
    caughtBy: ["getOrSet"],
    edits: [
      [
        LOADS,
        "      this.#running.delete(load)\n      if (this.#joinable.get(key) === load) this.#joinable.delete(key)",
        "      this.#running.delete(load)",
      ],
      [
        LOADS,
        ").applied) return undefined",
        ").applied) {\n this.#joinable.delete(key)\n return undefined\n }",
      ],
    ],
  },
  "a load that a write has overtaken is stored": {
    caughtBy: ["getOrSet", "set", "delete"],
    edits: [[LOADS, "if (!load.dirty && (await store", "if ((await store"]],
  },
  "a load is stored over a newer value": {
    caughtBy: ["getOrSet", "set", "delete"],
    edits: [
      [
        LOADS,
        "if (!load.dirty && (await store(key, { ...write, condition }, load)).applied)",
        "if ((await store(key, { ...write }, load)).applied)",
      ],
    ],
  },
  "a load that a write has overtaken is still joined": {
    caughtBy: ["getOrSet", "delete"],
    edits: [[LOADS, "load.dirty = true\n    this.#joinable.delete(key)", "load.dirty = true"]],
  },
  "a load that nobody waits for is out of reach of later writes, and stored": {
    caughtBy: ["getOrSet", "delete"],
    edits: [
      [
        LOADS,
        "        load.controller.abort(new DOM",
        "        this.#joinable.clear()\n        load.controller.abort(new DOM",
      ],
      [
        LOADS,
        "if (value === undefined || abandoned) return undefined",
        "if (value === undefined) return undefined",
      ],
    ],
  },
  "a negative entry survives a create": {
    caughtBy: ["get", "create"],
    edits: [[L1, "if (this.#negatives.delete(key)) this.#counters.invalidations++", ""]],
  },
  "L1 outlives the expiry in L2": {
    caughtBy: ["get", "set", "wait"],
    edits: [
      [L1, ", now + left)", ", Number.POSITIVE_INFINITY)"],
      [L1, "this.#clock.isBefore(entry.deadline, entry.expiresAt)", "this.#clock.isBefore(entry.deadline)"],
    ],
  },
  "the time to live of L1 begins with the answer": {
    caughtBy: ["get", "writeElsewhere", "wait"],
    edits: [[TWO_TIER, "this.#fill(key, entry, askedAt)", "this.#fill(key, entry)"]],
  },
  "a strong read joins a read under way": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    edits: [
      [
        TWO_TIER,
        "const stored = await this.#backend.get(key, caller === undefined ? undefined : [caller])",
        "const joined = this.#flights.get(key)\n      if (joined !== undefined) return await joined.promise\n      const stored = await this.#backend.get(key, caller === undefined ? undefined : [caller])",
      ],
    ],
  },
  "a strong exists joins a read under way": {
    caughtBy: ["get", "existsStrong", "writeElsewhere"],
    edits: [
      [
        TWO_TIER,
        "const flight = cached ? this.#joinable(key) : undefined",
        "const flight = this.#joinable(key)",
      ],
    ],
  },
  "a strong read leaves in L1 what it found outdated": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    edits: [[TWO_TIER, "if (held !== undefined && held !== version) this.#l1.drop(key)", ""]],
  },
  "reads under way fill over what a strong read or a page showed": {
    caughtBy: ["get", "getStrong", "writeElsewhere"],
    edits: [
      [
        TWO_TIER,
        "if (held !== undefined && held !== version) this.#l1.drop(key)\n    this.#dirtyFlight(key)",
        "if (held !== undefined && held !== version) this.#l1.drop(key)",
      ],
    ],
  },
  "a page fills over what was written or read meanwhile": {
    caughtBy: ["get", "scanFill", "writeElsewhere"],
    edits: [[TWO_TIER, " && !pageFill.has(stored.key)", ""]],
  },
  "L1 falls behind what a read showed that could not fill": {
    caughtBy: ["get", "invalidate", "writeElsewhere"],
    edits: [[TWO_TIER, "this.#shown(key, entry)\n          return entry", "return entry"]],
  },
  "fill below the floor": {
    edits: [
      [TWO_TIER, "else if (this.#floors.isBelow(key, entry.version)) this.#counters.refusedFills++", ""],
    ],
    caughtBy: "lag",
  },
  "an eviction at an await changes what is answered": {
    caughtBy: ["get", "set"],
    edits: [
      [
        TWO_TIER,
        "this.#fill(key, entry, askedAt)\n        return entry",
        "{\n this.#fill(key, entry, askedAt)\n return this.#l1.get(key) }\n        return entry",
      ],
    ],
  },
}

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
let folder = ""

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-mutants-"))
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/**
 * The project with the edits of a mutant made: `src/` and the folders of the edits copied, the rest linked, so that errors,
 * backends and the tests' own imports stay the very same modules.
 */
async function openOf(edits: Mutant["edits"]): Promise<Open> {
  const mutant = await mkdtemp(join(folder, "m"))
  await cp(join(ROOT, "src"), join(mutant, "src"), { recursive: true })
  await symlink(join(ROOT, "telemetry"), join(mutant, "telemetry"))
  const edited = new Set(edits.map(([file]) => file))
  await linkOrCopy("tiers", mutant, edited)
  for (const [file, text, becomes] of edits) {
    const path = join(mutant, file)
    const code = await readFile(path, "utf8")
    const parts = code.split(text)
    expect(parts, `stale: ${file} must hold this text exactly once: ${text}`).toHaveLength(2)
    await writeFile(path, parts.join(becomes))
  }
  const { kv } = await import(/* @vite-ignore */ pathToFileURL(join(mutant, "src/kv.ts")).href)
  return kv
}

async function linkOrCopy(place: string, mutant: string, edited: ReadonlySet<string>): Promise<void> {
  await mkdir(join(mutant, place))
  for (const entry of await readdir(join(ROOT, place), { withFileTypes: true })) {
    const inside = `${place}/${entry.name}`
    if (edited.has(inside)) await cp(join(ROOT, inside), join(mutant, inside))
    else if ([...edited].some((file) => file.startsWith(`${inside}/`)))
      await linkOrCopy(inside, mutant, edited)
    else await symlink(join(ROOT, inside), join(mutant, inside))
  }
}

test("without an edit, the copy breaks no promise", async () => {
  const result = await fc.check(race(await openOf([])), { seed: SEED, numRuns: 300 })
  expect(result.failed).toBe(false)
})

for (const [name, { edits, caughtBy, fault }] of Object.entries(MUTANTS)) {
  test(`caught: ${name}`, { timeout: 120_000 }, async () => {
    const open = await openOf(edits)
    const property =
      caughtBy === "lag"
        ? lag(open)
        : race(open, { calls: caughtBy, ...(fault === undefined ? {} : { fault }) })
    const result = await fc.check(property as fc.IAsyncProperty<unknown>, {
      seed: SEED,
      numRuns: BUDGET_RUNS,
      endOnFailure: true,
    })
    expect(result.failed, `the mutant lived through ${result.numRuns} runs`).toBe(true)
    process.stdout.write(`${result.numRuns} runs: ${name} (${String(result.errorInstance).slice(0, 120)})\n`)
  })
}
