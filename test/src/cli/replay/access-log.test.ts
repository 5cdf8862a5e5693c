import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { gzipSync } from "node:zlib"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { openAccessLog } from "../../../../src/cli/replay/access-log.ts"
import type { Access, LogFormat } from "../../../../src/cli/replay/log-format.ts"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-log-"))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function fileOf(content: string | Uint8Array): Promise<string> {
  const path = join(folder, `log-${Math.random()}`)
  await writeFile(path, content)
  return path
}

async function read(path: string, options: { format?: LogFormat; stdin?: Readable } = {}) {
  const log = await openAccessLog(path, { stdin: Readable.from([]), ...options })
  const accesses: Access[] = []
  for await (const batch of log.batches) accesses.push(...batch)
  return { log, accesses, keys: accesses.map(({ key }) => key) }
}

describe("the access log", () => {
  test("has one key a line, whatever the line ends, without the blank lines", async () => {
    const { log, accesses, keys } = await read(await fileOf("\xef\xbb\xbfa\r\nb\n\n  c d \nlast"))
    expect(log.format).toBe("keys")
    expect(keys.slice(1)).toEqual(["b", "  c d ", "last"])
    expect(accesses[1]).toEqual({ key: "b", operation: "read" })
    expect(log.badLines().count).toBe(0)
  })

  test("leaves a byte order mark out of the first key", async () => {
    const { keys } = await read(await fileOf(Buffer.from("\ufeffa\nb\n")))
    expect(keys).toEqual(["a", "b"])
  })

  test("keeps keys apart that are not UTF-8", async () => {
    const { keys } = await read(await fileOf(Buffer.from([0xff, 0x0a, 0xfe, 0x0a])))
    expect(new Set(keys).size).toBe(2)
  })

  test("reads Twitter's columns, times and TTLs in seconds", async () => {
    const { log, accesses } = await read(
      await fileOf("0,nz:u:a,6,120,7,get,0\n3,nz:u:a,6,300,7,set,600\n4,b,1,0,7,add,0\n4,b,1,0,7,delete,0\n"),
    )
    expect(log.format).toBe("twitter")
    expect(accesses).toEqual([
      { key: "nz:u:a", operation: "read", atMs: 0, valueBytes: 120 },
      { key: "nz:u:a", operation: "write", atMs: 3_000, valueBytes: 300, ttlMs: 600_000 },
      { key: "b", operation: "add", atMs: 4_000 },
      { key: "b", operation: "delete", atMs: 4_000 },
    ])
  })

  test("takes each of memcached's operations for a read, a write, a create or a delete", async () => {
    const names = [
      "get",
      "gets",
      "set",
      "add",
      "replace",
      "cas",
      "append",
      "prepend",
      "delete",
      "incr",
      "decr",
    ]
    const { accesses } = await read(await fileOf(names.map((name) => `1,k,1,9,1,${name},0`).join("\n")))
    expect(accesses.map(({ operation }) => operation)).toEqual([
      "read",
      "read",
      "write",
      "add",
      "write",
      "write",
      "write",
      "write",
      "delete",
      "write",
      "write",
    ])
  })

  test("keeps the commas of a key, and counts a header as no bad line", async () => {
    const { log, keys } = await read(
      await fileOf(
        "time,key,key size,value size,client,operation,ttl\n1,a,b,c,5,10,1,get,0\n2,d,1,10,1,get,0\n",
      ),
    )
    expect(keys).toEqual(["a,b,c", "d"])
    expect(log.badLines().count).toBe(0)
  })

  test("counts bad lines with their numbers, and reads the rest", async () => {
    const good = "1,a,1,10,1,get,0"
    const lines = [good, "1,a,1,10,1,fetch,0", good, "x,a,1,10,1,get,0", good, "1,a", "1,a,1,?,1,get,0", good]
    const { log, accesses } = await read(await fileOf(lines.join("\n")), { format: "twitter" })
    expect(accesses).toHaveLength(4)
    expect(log.badLines().count).toBe(4)
    expect(log.badLines().first.map(({ line }) => line)).toEqual([2, 4, 6, 7])
    expect(log.badLines().first[0]?.reason).toContain("operation")
  })

  test("gives a line without an end up, and reads the next", async () => {
    const { log, keys } = await read(await fileOf(`a\n${"x".repeat(1_000_000)}\nb\n\0binary\n`))
    expect(keys).toEqual(["a", "b"])
    expect(log.badLines().first.map(({ line }) => line)).toEqual([2, 4])
  })

  test("is read in the format that was asked for", async () => {
    const { log, keys } = await read(await fileOf("1,a,1,10,1,get,0\n"), { format: "keys" })
    expect(log.format).toBe("keys")
    expect(keys).toEqual(["1,a,1,10,1,get,0"])
  })

  test("recognises gzip by its bytes, in a file and in a pipe, in chunks of one byte as well", async () => {
    const content = gzipSync("a\nb\n".repeat(1_000))
    expect((await read(await fileOf(content))).keys).toHaveLength(2_000)
    const bytewise = Readable.from([...content].map((byte) => Buffer.of(byte)))
    const piped = await read("-", { stdin: bytewise })
    expect(piped.keys).toHaveLength(2_000)
    expect(piped.log.totalBytes).toBeUndefined()
    expect(piped.log.bytesRead()).toBe(content.length)
  })

  test("gives the keys between the line ends of any bytes in any chunks", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.stringMatching(/^[a-z,:]{0,6}$/)),
        fc.integer({ min: 1, max: 7 }),
        async (lines, chunkLength) => {
          const bytes = Buffer.from(`k\n${lines.join("\n")}`)
          const chunks: Buffer[] = []
          for (let at = 0; at < bytes.length; at += chunkLength)
            chunks.push(bytes.subarray(at, at + chunkLength))
          const { keys } = await read("-", { stdin: Readable.from(chunks), format: "keys" })
          expect(keys).toEqual(["k", ...lines.filter((line) => line !== "")])
        },
      ),
    ))

  test.each([
    ["a missing file", async () => join(folder, "none"), "INPUT_UNREADABLE", "no such file"],
    ["a directory", async () => folder, "INPUT_UNREADABLE", "directory"],
    ["an empty file", () => fileOf(""), "INPUT_EMPTY", "no accesses"],
    ["blank lines alone", () => fileOf("\n\n\r\n"), "INPUT_EMPTY", "no accesses"],
    ["an empty gzip file", () => fileOf(gzipSync("")), "INPUT_EMPTY", "no accesses"],
    [
      "a cut gzip file",
      () =>
        fileOf(gzipSync(randomBytes(40_000).toString("hex").replace(/.{32}/g, "$&\n")).subarray(0, 20_000)),
      "INPUT_DAMAGED",
      "cut short",
    ],
    [
      "the log of a web server",
      () => fileOf('127.0.0.1 - - [10/Oct/2026:13:55:36 +0000] "GET /a HTTP/1.1" 200 23\n'.repeat(3)),
      "FORMAT_UNKNOWN",
      "--format keys",
    ],
    ["lines of JSON", () => fileOf('{"key":"a"}\n{"key":"b"}\n'), "FORMAT_UNKNOWN", "no format"],
    [
      "CSV with other columns",
      () => fileOf("time,op,key\n1,get,a\n2,get,b\n"),
      "FORMAT_UNKNOWN",
      "no format",
    ],
    ["zstd", () => fileOf(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0])), "INPUT_UNREADABLE", "zstd -dc"],
  ])("rejects %s with a clear error", async (_what, path, code, words) => {
    const failure = read(await path())
    await expect(failure).rejects.toMatchObject({ code })
    await expect(failure).rejects.toThrow(words)
  })
})
