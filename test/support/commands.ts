import { existsSync } from "node:fs"
import { delimiter, join } from "node:path"
import { test } from "vitest"

/**
 * Declares a test that runs these commands of the machine. If one is not on the PATH, the test is skipped, and its name says what to
 * install; if `CI` is set, it fails.
 */
export function testWith(commands: readonly string[], name: string, run: () => Promise<void>): void {
  const folders = (process.env.PATH ?? "").split(delimiter)
  const missing = commands.filter((command) => !folders.some((folder) => existsSync(join(folder, command))))
  if (missing.length === 0) test(name, run)
  else if (process.env.CI) {
    test(name, () => {
      throw new Error(`not on the PATH: ${missing.join(", ")}`)
    })
  } else test.skip(`${name}: needs ${missing.join(", ")} on the PATH; install what has it`, run)
}
