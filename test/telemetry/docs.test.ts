import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { PATHS } from "../../src/counters.ts"
import { PAGE, pageWithTables, sentences } from "../support/telemetry-docs.ts"

test("all that stats() says is documented by a sentence", () => {
  const documented = sentences()
  expect([...documented.keys()].sort()).toEqual([...PATHS].sort())
  for (const [path, sentence] of documented) expect(sentence, path).toMatch(/^[A-Z`].*\.$/)
})

test("the tables of statistics and metrics in docs/telemetry.md are those that `npm run docs:metrics` writes", async () => {
  await expect(pageWithTables()).toMatchFileSnapshot(fileURLToPath(PAGE))
})
