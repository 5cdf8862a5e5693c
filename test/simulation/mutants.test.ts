import { mkdtemp, readFile, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readTree } from "../support/imports.ts"
import { find, replaced } from "./anchors.ts"
import { copyProject, writeNew } from "./mutant-copy.ts"
import { MUTANTS, type Mutant } from "./mutants.ts"
import { ANCHORS } from "./places.ts"
import { lag, outage, pages } from "./properties.ts"
import { race } from "./race.ts"
import type { Open } from "./start.ts"

/** Runs that a mutant may take to be caught; most take fewer than 300. */
const BUDGET_RUNS = 12_000
/** One that catches them soon; others take up to 8,000 runs for the rarest. */
const SEED = 6

const tree = await readTree(["src/coherence", "src/operations", "tiers/l1", "tiers/wrappers"])

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-mutants-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The files that a mutant changes, with their new text. */
function edited(edits: Mutant["edits"]): Map<string, string> {
  const places = Object.entries(edits).map(([name, becomes]) => {
    const anchor = Object.entries(ANCHORS).find(([other]) => other === name)
    if (anchor === undefined) throw new Error(`there is no anchor ${name}`)
    return [find(anchor[1], tree), becomes] as const
  })
  const files = new Set(places.map(([{ file }]) => file))
  return new Map(
    Array.from(files, (file) => [
      file,
      replaced(
        tree[file] ?? "",
        places.filter(([found]) => found.file === file),
      ),
    ]),
  )
}

async function openOf(edits: Mutant["edits"]): Promise<Open> {
  const copy = await mkdtemp(join(folder, "m"))
  await copyProject(copy, edited(edits))
  const { kv } = await import(/* @vite-ignore */ pathToFileURL(join(copy, "src/kv.ts")).href)
  return kv
}

describe("the copy of the project that a mutant is made in", () => {
  test("is written without changing the project", async () => {
    const copy = await mkdtemp(join(folder, "m"))
    const files = new Map(["src/coherence/loads.ts", "tiers/l1/l1.ts"].map((file) => [file, "// edited"]))
    await copyProject(copy, files)
    for (const file of files.keys()) {
      expect(await readFile(join(copy, file), "utf8")).toBe("// edited")
      expect((await readTree([join(file, "..")]))[file]).toBe(tree[file])
    }
  })

  test("is never written through a link", async () => {
    const target = join(folder, "target.ts")
    await writeNew(target, "the project's")
    await symlink(target, join(folder, "link.ts"))
    await expect(writeNew(join(folder, "link.ts"), "edited")).rejects.toMatchObject({ code: "EEXIST" })
    expect(await readFile(target, "utf8")).toBe("the project's")
  })

  test("breaks no promise without an edit", async () => {
    const result = await fc.check(race(await openOf({})), { seed: SEED, numRuns: 300 })
    expect(result.failed).toBe(false)
  })
})

test.each(Object.entries(ANCHORS))("the anchor %s is there, and a mutant uses it", (name, anchor) => {
  expect(find(anchor, tree).file).toMatch(/\.ts$/)
  expect(Object.values(MUTANTS).filter(({ edits }) => name in edits)).not.toEqual([])
})

describe("races catch a mutant", () => {
  test.each(Object.entries(MUTANTS))("%s", { timeout: 120_000 }, async (name, mutant) => {
    const { caughtBy, edits, seed = SEED, ...focus } = mutant
    const open = await openOf(edits)
    const property =
      typeof caughtBy === "string"
        ? { lag, outage, pages }[caughtBy](open)
        : race(open, { ...focus, calls: caughtBy })
    const result = await fc.check(property as fc.IAsyncProperty<unknown>, {
      seed,
      numRuns: BUDGET_RUNS,
      endOnFailure: true,
      interruptAfterTimeLimit: 110_000,
    })
    expect(result.failed, `the mutant lived through ${result.numRuns} runs`).toBe(true)
    process.stdout.write(`${result.numRuns} runs: ${name} (${String(result.errorInstance).slice(0, 120)})\n`)
  })
})
