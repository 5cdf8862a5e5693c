import { writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"

/** The values of `NODE_ENV` with which a store without a binding is expected. */
const EXPECTED: readonly (string | undefined)[] = ["development", "test"]

const said = new Set<string>()

/**
 * Gives the folder of the stores that have no binding a `.gitignore`, so that no store is committed by mistake. Unless `NODE_ENV` is
 * `development` or `test`, says once for each store, on standard error, where it is. Is called when the store is open.
 */
export async function announceFallback(name: string, path: string): Promise<void> {
  const folder = dirname(path)
  try {
    await writeFile(join(folder, ".gitignore"), "*\n", { flag: "wx" })
  } catch {
    // It is there already, or cannot be written.
  }
  if (EXPECTED.includes(process.env.NODE_ENV) || said.has(path)) return
  said.add(path)
  process.stderr.write(
    `tiered-kv: the store "${name}" has no binding, so its entries are in ${path}, on this machine alone. ` +
      "Set KV_STRICT=1 to make that an error, or NODE_ENV=development to accept it silently\n",
  )
}
