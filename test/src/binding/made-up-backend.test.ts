import { PassThrough, Readable } from "node:stream"
import { afterEach, expect, onTestFinished, test, vi } from "vitest"
import { parseUrl } from "../../../src/binding/url.ts"
import { run } from "../../../src/cli/program.ts"
import { type Kv, type KvOptions, kv } from "../../../src/index.ts"
import { bindingError } from "../../support/bindings.ts"

/**
 * To add a backend takes a folder with the backend and its description, and a line in the catalogue. (One that users can
 * import also has an entry in the `exports` of package.json.) Everything below is the real code, which knows this backend
 * only from the catalogue.
 */
vi.mock("../../../src/binding/catalogue.ts", async (load) => {
  const catalogue = await load<typeof import("../../../src/binding/catalogue.ts")>()
  const { madeUpDescription } = await import("../../support/made-up-backend/binding.ts")
  return { ...catalogue, CATALOGUE: [...catalogue.CATALOGUE, madeUpDescription] }
})

afterEach(() => vi.unstubAllEnvs())

async function open(name: string, options?: KvOptions): Promise<Kv> {
  const store = await kv(name, options)
  onTestFinished(() => store.close())
  return store
}

async function tieredKv(...args: string[]): Promise<string> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const exitCode = await run(args, { stdin: Readable.from([]), stdout, stderr })
  return `${exitCode} ${stdout.read() ?? ""}${stderr.read() ?? ""}`
}

test("a backend that was added to the catalogue is opened by its URL and serves calls", async () => {
  const store = await open("a", { backend: "made-up://attic/boxes" })
  expect(store.stats().backend).toEqual({ kind: "made-up", target: "attic/boxes" })
  await store.setMany([
    ["hat", "1"],
    ["hood", "2"],
  ])
  expect(await store.getText("hat", { consistency: "strong" })).toBe("1")
  expect(await store.put("hat", "3", { ifNotExists: true })).toMatchObject({ applied: false })
  expect((await store.scanPage("h")).entries.map(({ key }) => key)).toEqual(["hat", "hood"])
  expect(await store.delete("hat")).toBe(true)
  expect(await store.get("hat")).toBeUndefined()
})

test("a backend that was added to the catalogue is opened by the variable of its URL and by its Alien service", async () => {
  vi.stubEnv("KV_BY_URL_URL", "made-up://hall/coats")
  vi.stubEnv("ALIEN_BY_SERVICE_BINDING", JSON.stringify({ service: "shelves", shelfName: "coats" }))
  const [byUrl, byService] = [await open("by-url"), await open("by-service")]
  await byUrl.set("coat", "1")
  expect(await byService.getText("coat")).toBe("1")
  const again = await open("by-service")
  expect(again.peekText("coat")).toBe("1") // of the L1 that handles of one binding share
})

test("the messages list a backend that was added to the catalogue, and refuse in its words", async () => {
  vi.stubEnv("ALIEN_UNKNOWN_BINDING", JSON.stringify({ service: "cupboards" }))
  vi.stubEnv("ALIEN_LACKING_BINDING", JSON.stringify({ service: "shelves" }))
  expect(bindingError(() => parseUrl("cupboard://attic")).message).toMatch(/ or made-up:\/\/ROOM\/SHELF$/)
  expect(bindingError(() => parseUrl("made-up://attic")).message).toMatch(
    /of the form made-up:\/\/ROOM\/SHELF$/,
  )
  await expect(kv("unknown")).rejects.toThrow(/known are .*, local-kv, shelves$/)
  await expect(kv("lacking")).rejects.toThrow(/lacks the field "shelfName" of a shelves binding$/)
})

test("the command line reads and writes a backend that was added to the catalogue", async () => {
  expect(await tieredKv("set", "-b", "made-up://cellar/wine", "red", "12")).toBe("0 ")
  expect(await tieredKv("get", "-b", "made-up://cellar/wine", "red")).toBe("0 12")
  expect(await tieredKv("stats", "-b", "made-up://cellar/wine")).toMatch(
    /backend +made-up\ntarget +cellar\/wine\n/,
  )
  expect((await tieredKv("get", "--help")).replace(/\s+/g, " ")).toContain("made-up://ROOM/SHELF")
})
