import { access, mkdtemp, rm } from "node:fs/promises"
import { createServer, type Server } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { PassThrough, Readable, Writable } from "node:stream"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { run } from "../../../src/cli/program.ts"

let folder: string
let backend: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-cli-"))
  backend = `lmdb:${join(folder, "store")}`
})
afterAll(() => rm(folder, { recursive: true, force: true }))

interface Outcome {
  exitCode: number
  stdout: Buffer
  stderr: string
}

/** Runs one command line. Without `stdin`, standard input is a terminal without input. */
async function tieredKv(args: string[], stdin?: string | Uint8Array, terminal = false): Promise<Outcome> {
  const stdout = collector(terminal)
  const stderr = collector(terminal)
  const input =
    stdin === undefined
      ? Object.assign(new PassThrough(), { isTTY: true })
      : Readable.from([Buffer.from(stdin)])
  const exitCode = await run(args, { stdin: input, stdout: stdout.stream, stderr: stderr.stream })
  return { exitCode, stdout: stdout.bytes(), stderr: stderr.bytes().toString() }
}

/** The same on the store of this file. */
function onStore(command: string, ...args: string[]): Promise<Outcome> {
  return tieredKv([command, "--backend", backend, ...args])
}

function collector(isTTY: boolean) {
  const chunks: Buffer[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      chunks.push(Buffer.from(chunk))
      done()
    },
  })
  return { stream: Object.assign(stream, { isTTY }), bytes: () => Buffer.concat(chunks) }
}

describe("values in and out", () => {
  test("set stores an argument as UTF-8, and get gives it back byte for byte", async () => {
    expect(await onStore("set", "text", "héllo")).toMatchObject({ exitCode: 0, stderr: "" })
    expect((await onStore("get", "text")).stdout.toString()).toBe("héllo")
  })

  test("get ends its output with a line end on a terminal, and not in a pipe", async () => {
    await onStore("set", "line", "one")
    expect((await tieredKv(["get", "-b", backend, "line"], undefined, true)).stdout.toString()).toBe("one\n")
    expect((await tieredKv(["get", "-b", backend, "line"])).stdout.toString()).toBe("one")
  })

  test.each([["-"], []])("standard input is stored byte for byte (value %s)", async (...value) => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
    const args = ["set", "-b", backend, "bytes", ...value]
    expect((await tieredKv(args, bytes)).exitCode).toBe(0)
    expect(new Uint8Array((await onStore("get", "bytes")).stdout)).toEqual(bytes)
  })

  test("an empty value is stored and found", async () => {
    await tieredKv(["set", "-b", backend, "empty"], "")
    expect(await onStore("get", "empty")).toMatchObject({ exitCode: 0, stdout: Buffer.alloc(0) })
  })

  test("JSON output holds text as text and other bytes in base64", async () => {
    await onStore("set", "json", '{"a":"ü"}', "--ttl-ms", "60000")
    const text = JSON.parse((await onStore("get", "json", "--json")).stdout.toString())
    expect(text).toMatchObject({ key: "json", found: true, encoding: "utf8", value: '{"a":"ü"}', bytes: 10 })
    expect(text.expiresAt).toBeGreaterThan(Date.now())
    await tieredKv(["set", "-b", backend, "bin"], Uint8Array.of(0xff, 0x00))
    const bytes = JSON.parse((await onStore("get", "bin", "--json")).stdout.toString())
    expect(bytes).toMatchObject({ encoding: "base64", value: "/wA=", bytes: 2 })
  })

  test("a terminal is not sent what would command it; --raw sends it", async () => {
    await onStore("set", "escape", "\u001b[2J")
    const shown = await tieredKv(["get", "-b", backend, "escape"], undefined, true)
    expect(shown.stdout).toHaveLength(0)
    expect(shown.stderr).toContain("4 bytes")
    const raw = await tieredKv(["get", "-b", backend, "--raw", "escape"], undefined, true)
    expect(raw.stdout.toString()).toBe("\u001b[2J")
  })

  test("a value that looks like an option comes after --", async () => {
    expect((await onStore("set", "dashes", "--", "--json")).exitCode).toBe(0)
    expect((await onStore("get", "dashes")).stdout.toString()).toBe("--json")
  })

  test("standard input without an end is not read to the end", async () => {
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65_536))
      },
    })
    const io = { stdin: endless, stdout: collector(false).stream, stderr: collector(false).stream }
    expect(await run(["set", "-b", backend, "endless"], io)).toBe(2)
    expect(endless.destroyed).toBe(true)
  })
})

describe("conditions", () => {
  test("--if-not-exists lets the first set win; the second exits with 1 and changes nothing", async () => {
    expect((await onStore("set", "lock", "mine", "--if-not-exists")).exitCode).toBe(0)
    const lost = await onStore("set", "lock", "theirs", "--if-not-exists")
    expect(lost).toMatchObject({ exitCode: 1, stderr: "not written: the key is there already\n" })
    expect((await onStore("get", "lock")).stdout.toString()).toBe("mine")
  })

  test("--if-version applies once, with the version of get --json or of set --json", async () => {
    const first = JSON.parse((await onStore("set", "cas", "1", "--json")).stdout.toString())
    expect(first).toMatchObject({ key: "cas", applied: true })
    expect((await onStore("set", "cas", "2", "--if-version", first.version)).exitCode).toBe(0)
    expect((await onStore("set", "cas", "3", "--if-version", first.version)).exitCode).toBe(1)
    expect((await onStore("delete", "cas", "--if-version", first.version)).exitCode).toBe(1)
    const { version } = JSON.parse((await onStore("get", "cas", "--strong", "--json")).stdout.toString())
    expect((await onStore("delete", "cas", "--if-version", version)).exitCode).toBe(0)
    expect((await onStore("get", "cas")).exitCode).toBe(1)
  })

  test("get and exists of an absent key exit with 1, also in JSON", async () => {
    expect(await onStore("get", "none")).toMatchObject({
      exitCode: 1,
      stdout: Buffer.alloc(0),
      stderr: "absent\n",
    })
    const json = await onStore("get", "none", "--json")
    expect(json).toMatchObject({ exitCode: 1, stderr: "" })
    expect(JSON.parse(json.stdout.toString())).toEqual({ key: "none", found: false })
    expect(await onStore("exists", "none")).toMatchObject({ exitCode: 1, stdout: Buffer.from("false\n") })
  })

  test("exists writes true for a key that is there; delete succeeds where nothing was", async () => {
    await onStore("set", "there", "x")
    expect(await onStore("exists", "there", "--strong")).toMatchObject({
      exitCode: 0,
      stdout: Buffer.from("true\n"),
    })
    expect((await onStore("delete", "there")).exitCode).toBe(0)
    expect((await onStore("delete", "there")).exitCode).toBe(0)
    expect((await onStore("exists", "there", "--json")).stdout.toString()).toBe(
      '{"key":"there","exists":false}\n',
    )
  })
})

describe("scan and stats", () => {
  beforeAll(async () => {
    for (let i = 0; i < 250; i++) await onStore("set", `page:${String(i).padStart(3, "0")}`, `a\tb\\${i}\n`)
    await tieredKv(["set", "-b", backend, "page:bin"], Uint8Array.of(0xff))
  })

  const lines = ({ stdout }: Outcome) => stdout.toString().split("\n").slice(0, -1)

  test("scan writes one line for each entry, over many pages, whatever the value holds", async () => {
    const found = lines(await onStore("scan", "page:"))
    expect(found).toHaveLength(251)
    expect(found.sort()[7]).toBe("page:007\ta\\tb\\\\7\\n")
    expect(found).toContain("page:bin\tbase64:/w==")
  })

  test("scan --limit ends after as many entries, and --keys-only leaves the values out", async () => {
    const found = lines(await onStore("scan", "page:", "--limit", "120", "--keys-only"))
    expect(new Set(found).size).toBe(120)
    expect(found.every((key) => /^page:(\d{3}|bin)$/.test(key))).toBe(true)
  })

  test("scan --json writes one object for each line, with the value as get writes it", async () => {
    const entries = lines(await onStore("scan", "page:00", "--json")).map((line) => JSON.parse(line))
    expect(entries).toHaveLength(10)
    expect(entries.find(({ key }) => key === "page:003")).toMatchObject({
      encoding: "utf8",
      value: "a\tb\\3\n",
      bytes: 6,
    })
  })

  test("scan without a prefix writes all entries, and of an unused prefix none", async () => {
    expect(lines(await onStore("scan", "--keys-only")).length).toBeGreaterThan(251)
    expect(await onStore("scan", "unused:")).toMatchObject({ exitCode: 0, stdout: Buffer.alloc(0) })
  })

  test("a reader that goes away ends the scan safely", async () => {
    let written = 0
    const gone = new Writable({
      write(_chunk, _encoding, done) {
        written++
        done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }))
      },
    })
    const stderr = collector(false)
    const io = { stdin: Readable.from([]), stdout: gone, stderr: stderr.stream }
    expect(await run(["scan", "-b", backend, "page:"], io)).toBe(0)
    expect(written).toBe(1)
    expect(stderr.bytes().toString()).toBe("")
  })

  test("stats names the backend; --count counts", async () => {
    const plain = (await onStore("stats")).stdout.toString()
    expect(plain).toMatch(/backend +lmdb\n/)
    expect(plain).not.toContain("entries")
    const json = JSON.parse(
      (await onStore("stats", "--count", "--prefix", "page:", "--json")).stdout.toString(),
    )
    expect(json).toMatchObject({ backend: { kind: "lmdb" }, counted: { entries: 251, expiring: 0 } })
    expect(json.counted.largestValueBytes).toBe(8)
  })
})

describe("failures", () => {
  test.each([
    ["no command", [], "Usage:"],
    ["an unknown command", ["frob"], "USAGE: unknown command 'frob'"],
    ["an unknown option", ["get", "--frob", "k"], "USAGE: unknown option '--frob'"],
    ["a missing key", ["get"], "USAGE: missing required argument 'key'"],
    ["two stores", ["get", "-b", "memory:", "-n", "cache", "k"], "cannot be used with"],
    [
      "two conditions",
      ["set", "-b", "memory:", "k", "v", "--if-not-exists", "--if-version", "x"],
      "cannot be used with",
    ],
    ["no value at a terminal", ["set", "-b", "memory:", "k"], "USAGE: the value is missing"],
    ["an illegal key", ["get", "-b", "memory:", "a/b"], "INVALID_KEY: "],
    ["an illegal prefix", ["scan", "-b", "memory:", "a b"], "INVALID_KEY: "],
    ["a value too large", ["set", "-b", "memory:", "k", "x".repeat(24_577)], "INVALID_VALUE: "],
    ["a TTL of nothing", ["set", "-b", "memory:", "k", "v", "--ttl-ms", "0"], "INVALID_TTL: "],
    ["half a millisecond", ["set", "-b", "memory:", "k", "v", "--ttl-ms", "1.5"], "INVALID_TTL: "],
    ["a TTL that is no number", ["set", "-b", "memory:", "k", "v", "--ttl-ms", "soon"], "not a number"],
    ["a foreign version", ["delete", "-b", "memory:", "k", "--if-version", "x"], "INVALID_VERSION: "],
    ["an illegal name", ["get", "-n", "a/b", "k"], "INVALID_ID: "],
    ["an unknown URL", ["get", "-b", "ftp://x", "k"], "BINDING_INVALID: "],
    ["a limit of nothing", ["scan", "-b", "memory:", "--limit", "0"], "whole number of at least 1"],
  ])("%s exits with 2 and says so in a line or two", async (_what, args, words) => {
    const { exitCode, stdout, stderr } = await tieredKv(args)
    expect(exitCode).toBe(2)
    expect(stdout).toHaveLength(0)
    expect(stderr).toContain(words)
    expect(stderr).not.toMatch(/^ +at /m)
    if (args.length > 0) expect(stderr.split("\n").length).toBeLessThanOrEqual(3)
  })

  test("--json writes the error as JSON, --debug adds the stack", async () => {
    const json = await tieredKv(["get", "-b", "memory:", "a/b", "--json"])
    expect(JSON.parse(json.stderr)).toEqual({
      error: { code: "INVALID_KEY", message: expect.stringContaining("illegal character"), retryable: false },
    })
    const debug = await tieredKv(["get", "-b", "memory:", "a/b", "--debug"])
    expect(debug.stderr).toMatch(/^ +at /m)
    const both = await tieredKv(["get", "--json", "--frob"])
    expect(JSON.parse(both.stderr).error.code).toBe("USAGE")
  })

  test("a command whose backend is not there exits with 3 and shows no password", async () => {
    const server = createServer()
    const port = await listen(server)
    server.close()
    const { exitCode, stderr } = await tieredKv(["get", "-b", `redis://:hunter2@127.0.0.1:${port}/0`, "k"])
    expect(exitCode).toBe(3)
    expect(stderr).toMatch(/^tiered-kv: (UNAVAILABLE|TIMEOUT): /)
    expect(stderr).not.toContain("hunter2")
  })

  test("an error's message does not hold the key", async () => {
    expect((await tieredKv(["get", "-b", "memory:", "alice@example.com"])).stderr).not.toContain("alice")
  })
})

describe("help", () => {
  test("names the exit codes, the store and every command", async () => {
    const { exitCode, stdout } = await tieredKv(["--help"])
    expect(exitCode).toBe(0)
    const help = stdout.toString()
    for (const word of [
      "get",
      "set",
      "delete",
      "exists",
      "scan",
      "stats",
      "replay",
      "Exit codes",
      "KV_<NAME>_URL",
    ]) {
      expect(help).toContain(word)
    }
  })

  test("--version is the package's version", async () => {
    expect((await tieredKv(["--version"])).stdout.toString()).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test("each command has a help text of its own", async () => {
    for (const command of ["get", "set", "delete", "exists", "scan", "stats", "replay"]) {
      const { exitCode, stdout } = await tieredKv([command, "--help"])
      expect(exitCode).toBe(0)
      expect(stdout.toString()).toContain(`Usage: tiered-kv ${command}`)
    }
  })
})

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    })
  })
}

describe("a store that is not there", () => {
  test.each([["get", "key"], ["exists", "key"], ["scan"], ["stats"], ["delete", "key"]])(
    "is not made by %s",
    async (command, ...args) => {
      const absent = join(folder, `absent-${command}`)
      const outcome = await tieredKv([command, "--backend", `lmdb:${absent}`, ...args])
      expect(outcome).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("STORE_NOT_FOUND") })
      await expect(access(absent)).rejects.toThrow("ENOENT")
    },
  )

  test("is made by set", async () => {
    const made = `lmdb:${join(folder, "made")}`
    expect(await tieredKv(["set", "--backend", made, "key", "value"])).toMatchObject({ exitCode: 0 })
    expect(await tieredKv(["exists", "--backend", made, "key"])).toMatchObject({ exitCode: 0 })
  })
})
