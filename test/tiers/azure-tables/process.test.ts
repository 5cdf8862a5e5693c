import { unlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { newTable, startAzurite } from "../../servers/azurite.ts"
import { requireServer } from "../../servers/require-server.ts"
import { type Built, build, shell } from "../../support/built.ts"

await requireServer("azure-tables", startAzurite, (server) => {
  let built: Built

  beforeAll(async () => {
    built = await build()
  })
  afterAll(() => built.remove())

  const run = async (script: string) => {
    const file = join(built.folder, "script.mjs")
    await writeFile(file, `import { azureTables } from "./dist/tiers/azure-tables/backend.js"\n${script}`)
    return shell(`timeout 20 ${process.execPath} ${file}`, built.folder, {
      AZURE_STORAGE_CONNECTION_STRING: server.connectionString,
    })
  }

  test("a script that never closes the backend ends by itself, whatever is left for the sweep", async () => {
    const { tableName } = await newTable(server)
    const ended = await run(`
      const backend = azureTables({}, { table: ${JSON.stringify(tableName)} })
      await backend.open()
      const { version } = await backend.put("key", { value: Uint8Array.of(1), id: "0".repeat(32) })
      await backend.delete("key", { id: "1".repeat(32), condition: { version } })
      console.log(await backend.exists("key"))
    `)
    expect(ended).toMatchObject({ code: 0, stdout: "false\n", stderr: "" })
  })

  test("without the SDK, opening says what to install", async () => {
    await unlink(join(built.folder, "node_modules"))
    const ended = await run(`
      const error = await azureTables({}, { table: "cache" }).open().catch((error) => error)
      console.log(error.code, error.message)
    `)
    expect(ended).toMatchObject({
      code: 0,
      stdout:
        "DEPENDENCY_MISSING Azure Tables needs the package @azure/data-tables: npm install @azure/data-tables\n",
    })
  })
})
