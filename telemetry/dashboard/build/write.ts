import { rm, writeFile } from "node:fs/promises"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { bundlePage } from "./bundle.ts"

/**
 * The last step of `npm run build`. It runs compiled, in the project's folder, and replaces the compiled `page-text.js` by
 * a module that contains the text.
 */
const page = await bundlePage(pathToFileURL(`${resolve("telemetry/dashboard/page")}/`))
const target = new URL("../page-text.js", import.meta.url)
const constants = Object.entries(page).map(
  ([name, text]) => `export const ${name} = ${JSON.stringify(text)}\n`,
)
await writeFile(target, constants.join(""))
await rm(new URL(`${target}.map`), { force: true })
