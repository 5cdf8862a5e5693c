import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Runs the races last: most mutants fail a test that takes less time. */
class RacesLast extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const isRace = ({ moduleId }: TestSpecification) => moduleId.includes("/simulation/")
    return files.toSorted((a, b) => Number(isRace(a)) - Number(isRace(b)))
  }
}

/** `npm run mutation`: the tests without servers that judge the coherence and the resilience, with the same random numbers each time. */
export default defineConfig({
  test: {
    include: [
      "test/src/coherence/*.test.ts",
      "test/src/{errors,lifetime,stats}.test.ts",
      "test/src/operations/{get-or-set,scans}.test.ts",
      "test/tiers/wrappers/resilience/*.test.ts",
      "test/telemetry/calls.test.ts",
      "test/simulation/races.test.ts",
    ],
    env: { RACE_RUNS: "30", RACE_SEED: "6" },
    setupFiles: ["test/mutation/seed.ts"],
    sequence: { sequencer: RacesLast },
    isolate: false,
    // A mutant that makes a test wait for ever is caught by this limit, which costs less than that of the mutation run.
    testTimeout: 4_000,
  },
})
