import { mkdir, unlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { newTable, startAzurite } from "../../servers/azurite.ts"
import { requireServer } from "../../servers/require-server.ts"
import { type Built, build } from "../../support/built.ts"
import { ended } from "../../support/ended.ts"

await requireServer("azure-tables", startAzurite, (server) => {
  let built: Built

  beforeAll(async () => {
    built = await build()
  })
  afterAll(() => built.remove())

  const run = async (script: string) => {
    const file = join(built.folder, "script.mjs")
    await writeFile(file, `import { azureTables } from "./dist/tiers/azure-tables/backend.js"\n${script}`)
    return ended(process.execPath, [file], built.folder, {
      AZURE_STORAGE_CONNECTION_STRING: server.connectionString,
    })
  }

  test("a script that never closes the backend ends by itself, whatever is left for the sweep", async () => {
    const { tableName } = await newTable(server)
    const outcome = await run(`
      const backend = azureTables({}, { table: ${JSON.stringify(tableName)} })
      await backend.open()
      const { version } = await backend.put("key", { value: Uint8Array.of(1), id: "0".repeat(32) })
      await backend.delete("key", { id: "1".repeat(32), condition: { version } })
      console.log(await backend.exists("key"))
    `)
    expect(outcome).toMatchObject({ code: 0, stdout: "false\n", stderr: "" })
  })

  describe("without the installed packages", () => {
    beforeAll(() => unlink(join(built.folder, "node_modules")))

    /** Replaces the SDK by one of another version, which exports a client for any table. */
    const install = async (manifest: object) => {
      const folder = join(built.folder, "node_modules/@azure/data-tables")
      await mkdir(folder, { recursive: true })
      const packageJson = { name: "@azure/data-tables", type: "module", exports: "./index.js", ...manifest }
      await writeFile(join(folder, "package.json"), JSON.stringify(packageJson))
      await writeFile(
        join(folder, "index.js"),
        "const pipeline = { removePolicy() {}, addPolicy() {}, getOrderedPolicies: () => [] }\n" +
          "export class TableClient { pipeline = pipeline; tableName = 'cache'; getEntity() {} }\n" +
          "export class AzureNamedKeyCredential {}\n",
      )
    }
    const opening = `
      const { TableClient } = await import("@azure/data-tables").catch(() => ({}))
      for (const client of TableClient === undefined ? [{}] : [{}, new TableClient()]) {
        const backend = azureTables(client, { table: "cache" })
        console.log(await backend.open().then(() => "open", (error) => error.code + " " + error.message))
      }
      process.exit()
    `

    test("opening says what to install", async () => {
      expect(await run(opening)).toMatchObject({
        code: 0,
        stdout: expect.stringContaining(
          "DEPENDENCY_MISSING Azure Tables needs the package @azure/data-tables: npm install @azure/data-tables. ",
        ),
      })
    })

    test.each(["13.2.0", "13.1.9", "12.9.9", "2.0.0"])(
      "version %s of the SDK is refused, also with a client of the caller",
      async (version) => {
        await install({ version, exports: undefined, main: "./index.js" })
        const refused = `DEPENDENCY_MISSING @azure/data-tables ${version} is installed, and version 13.2.1 or later is needed: npm install @azure/data-tables\n`
        expect(await run(opening)).toMatchObject({ code: 0, stdout: refused.repeat(2) })
      },
    )

    test.each([
      ["13.2.1", { version: "13.2.1", exports: undefined, main: "./index.js" }],
      ["13.10.0", { version: "13.10.0", exports: { ".": "./index.js", "./package.json": "./package.json" } }],
      ["that cannot be found out", { version: "13.2.0" }],
    ])("version %s of the SDK is accepted", async (_, manifest) => {
      await install(manifest)
      expect(await run(opening)).toMatchObject({ code: 0, stdout: "open\nopen\n" })
    })
  })
})
