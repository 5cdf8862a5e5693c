import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readTree } from "../../support/imports.ts"
import { find, replaced } from "../anchors.ts"
import { copyProject } from "../mutant-copy.ts"
import { FLEET_MUTANTS, type FleetMutant } from "./mutants.ts"
import type { Open } from "./process.ts"
import { run } from "./run.ts"
import { Broken } from "./seen.ts"

/** Fleets that a mutant may take to be caught; most take fewer than 20. */
const BUDGET_RUNS = 2_000

const tree = await readTree(["src/coherence", "tiers/l1"])

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-fleet-mutants-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function openOf({ at, becomes }: FleetMutant): Promise<Open> {
  const found = find(at, tree)
  const copy = await mkdtemp(join(folder, "m"))
  await copyProject(copy, new Map([[found.file, replaced(tree[found.file] ?? "", [[found, becomes]])]]))
  const { kv } = await import(/* @vite-ignore */ pathToFileURL(join(copy, "src/kv.ts")).href)
  return kv
}

/** The run that breaks a promise, the first of them 1. */
async function caughtAfter(
  open: Open,
  setting: FleetMutant["setting"],
): Promise<{ runs: number; by: string }> {
  for (let seed = 1; seed <= BUDGET_RUNS; seed++) {
    try {
      await run(open, seed, setting)
    } catch (error) {
      if (error instanceof Broken) return { runs: seed, by: error.message }
      throw error
    }
  }
  throw new Error(`the mutant lived through ${BUDGET_RUNS} fleets`)
}

describe("fleets catch a mutant", () => {
  test.each(Object.entries(FLEET_MUTANTS))("%s", { timeout: 60_000 }, async (name, mutant) => {
    const { runs, by } = await caughtAfter(await openOf(mutant), mutant.setting)
    expect(by).toMatch(/state|rest/)
    process.stdout.write(`${runs} fleets: ${name} (${by.slice(0, 120)})\n`)
  })
})
