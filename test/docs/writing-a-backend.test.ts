import { execFile } from "node:child_process"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { afterAll, expect, onTestFinished, test, vi } from "vitest"
import { kv } from "../../src/index.ts"
import type { Backend, BackendDescription, Runtime } from "../../tiers/backend-kit.ts"
import { writeDocumentedFiles } from "../support/documented-backend.ts"
import { testRuntime } from "../support/runtime.ts"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))
const folder = await writeDocumentedFiles()
afterAll(() => rm(folder, { recursive: true }))

vi.mock("../../src/binding/catalogue.ts", async (original) => {
  const catalogue = await original<typeof import("../../src/binding/catalogue.ts")>()
  // Loaded when it is asked for, because this runs before the page's files are there.
  return {
    ...catalogue,
    get CATALOGUE() {
      return [...catalogue.CATALOGUE, filesDescription]
    },
  }
})

function load<T>(name: string): Promise<T> {
  return import(/* @vite-ignore */ pathToFileURL(join(folder, "files", name)).href)
}

interface Documented {
  files(directory: string, options?: { sweepIntervalMs?: number; runtime?: Runtime }): Backend
}

interface Binding {
  filesDescription: BackendDescription<{ path: string }>
}

const { filesDescription } = await load<Binding>("binding.ts")
const { files } = await load<Documented>("backend.ts")
// Makes a test of each case of the conformance suite.
await load("backend.test.ts")

async function emptyDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "tiered-kv-files-"))
  onTestFinished(() => rm(directory, { recursive: true }))
  return directory
}

test("the page's code compiles under the settings of the project", async () => {
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc")
  const compiled = promisify(execFile)(process.execPath, [compiler, "-p", folder])
  const { stdout } = await compiled.catch((error: { stdout: string }) => error)
  expect(stdout).toBe("")
})

test("the page's backend keeps its entries when it is opened again", async () => {
  const backend = files(await emptyDirectory())
  await backend.open()
  await backend.put("key", { value: Uint8Array.of(1, 2), id: "1".repeat(32) })
  await backend.close()
  await expect(backend.get("key")).rejects.toMatchObject({ code: "CLOSED" })
  await backend.open()
  onTestFinished(() => backend.close())
  expect((await backend.get("key"))?.value).toEqual(Buffer.of(1, 2))
})

test("the page's backend reports a damaged file as CORRUPT_ENTRY, and a file in place of its directory as BINDING_INVALID", async () => {
  const directory = await emptyDirectory()
  const backend = files(directory)
  await backend.open()
  onTestFinished(() => backend.close())
  await backend.put("key", { value: Uint8Array.of(1, 2), id: "1".repeat(32) })
  const [name = ""] = await readdir(directory)
  await writeFile(join(directory, name), '{"id":"1","length":2}\n1')
  await expect(backend.get("key")).rejects.toMatchObject({ code: "CORRUPT_ENTRY", key: "key" })
  await expect(files(join(directory, name)).open()).rejects.toMatchObject({ code: "BINDING_INVALID" })
})

test("the page's backend refuses an option that it does not have, or that is out of range", () => {
  expect(() => files("unused", { sweepIntervalMs: -1 })).toThrow(
    /sweepIntervalMs is a whole number of at least 0/,
  )
  expect(() => files("unused", Object.assign({ sweepIntervalMs: 1 }, { sweepInterval: 1 }))).toThrow(
    /no option "sweepInterval"/,
  )
})

test("the page's backend removes expired files, and no others", async () => {
  const directory = await emptyDirectory()
  const runtime = testRuntime()
  const backend = files(directory, { runtime, sweepIntervalMs: 1_000 })
  await backend.open()
  await backend.put("kept", { value: Uint8Array.of(1), id: "1".repeat(32) })
  await backend.put("gone", { value: Uint8Array.of(1), id: "2".repeat(32), expiresAt: runtime.now() + 10 })
  await runtime.advance(2_000)
  await vi.waitFor(async () => expect(await readdir(directory)).toHaveLength(1))
  expect(await backend.exists("kept")).toBe(true)
  await backend.close()
})

test("a store opens the page's backend, and by its URL once the catalogue lists it", async () => {
  const directory = await emptyDirectory()
  const backend = files(directory)
  const store = await kv("files", { backend })
  expect(await store.set("key", "value", { ifNotExists: true })).toBe(true)
  await store.close()
  await backend.close()

  const byUrl = await kv("files", { backend: `files:${directory}` })
  onTestFinished(() => byUrl.close())
  expect(await byUrl.getText("key")).toBe("value")
  expect(byUrl.stats().backend).toEqual({ kind: "files", target: directory })
})
