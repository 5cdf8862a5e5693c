import { type ChildProcess, fork, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { type Built, build, shell } from "../../support/built.ts"
import { testWith } from "../../support/commands.ts"
import { ended } from "../../support/ended.ts"
import { failureOf } from "../../support/failures.ts"
import { type LmdbFixture, lmdbFixture, textOf } from "../../support/lmdb-fixture.ts"

const SCRIPT = fileURLToPath(new URL("../../support/children/lmdb-process.mjs", import.meta.url))

/** Whether tests may make namespaces of their own, and mount in them: on Linux, as root. */
const mayUnshare = spawnSync("unshare", ["--mount", "--pid", "--fork", "--mount-proc", "true"]).status === 0

const NO_NAMESPACES = "namespaces and mounts need Linux, and root"

let built: Built
let fixture: LmdbFixture
const children: ChildProcess[] = []

beforeAll(async () => {
  built = await build()
})
afterAll(() => built.remove())
beforeEach(async () => {
  fixture = await lmdbFixture()
})
afterEach(async () => {
  await Promise.all(children.splice(0).map(kill))
  await fixture.remove()
})

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill("SIGKILL")
  await once(child, "exit")
}

/** Runs Node to its end. */
const toEnd = (args: readonly string[]) => ended(process.execPath, args, built.folder)

/** A process with the store open, that does the jobs of the script when asked. */
async function serve(): Promise<ChildProcess> {
  const child = fork(SCRIPT, [built.file("."), fixture.directory, "serve"])
  children.push(child)
  await messageOf(child, "ready")
  return child
}

/** The next message with this property. */
function messageOf(child: ChildProcess, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error("the process ended"))
    const onMessage = (message: Record<string, unknown>) => {
      if (!Object.hasOwn(message, name)) return
      child.off("exit", onExit).off("message", onMessage)
      resolve(message[name])
    }
    child.on("exit", onExit).on("message", onMessage)
  })
}

function ask(child: ChildProcess, call: string, ...args: unknown[]): Promise<unknown> {
  const answer = messageOf(child, "result")
  child.send({ call, args })
  return answer
}

describe("several processes over one LMDB store", () => {
  test("one of them creates each key", async () => {
    const processes = await Promise.all([serve(), serve()])
    const keys = Array.from({ length: 200 }, (_, index) => `key:${index}`)
    const created = await Promise.all(processes.map((child) => ask(child, "create", keys)))
    expect(created.flat().sort()).toEqual([...keys].sort())
    const backend = await fixture.openStore()
    for (const [index, child] of processes.entries()) {
      for (const key of [created[index]].flat())
        expect(await textOf(backend, String(key))).toBe(String(child.pid))
    }
  })

  test("counting by compare-and-set loses nothing", async () => {
    const backend = await fixture.openStore()
    await fixture.put(backend, "count", "0")
    const processes = await Promise.all([serve(), serve()])
    await Promise.all(processes.map((child) => ask(child, "increment", "count", 150)))
    expect(await textOf(backend, "count")).toBe("300")
  })

  test("a read sees what was announced before it, however lately it read", async () => {
    const backend = await fixture.openStore()
    const child = await serve()
    const upTo = 300
    const stale: string[] = []
    let counting = true
    child.on("message", (message) => {
      const written = numberIn(message)
      const read = numberOf(backend, "count")
      if (written > read) stale.push(`${written} was written, ${read} was read`)
    })
    const counted = ask(child, "count", "count", upTo).then(() => {
      counting = false
    })
    // Reads in every turn of the event loop, so that a snapshot kept for a turn or a while would be an old one.
    while (counting) {
      numberOf(backend, "count")
      await new Promise((resolve) => setImmediate(resolve))
    }
    await counted
    expect(stale).toEqual([])
    expect(numberOf(backend, "count")).toBe(upTo)
  })

  test("versions are ordered over processes", async () => {
    const backend = await fixture.openStore()
    const child = await serve()
    const versions: string[] = []
    for (let round = 0; round < 10; round++) {
      await fixture.put(backend, "key", "from here")
      versions.push((await backend.get("key"))?.version ?? "")
      await backend.delete("key", { id: fixture.runtime.id() })
      await ask(child, "create", ["key"])
      versions.push((await backend.get("key"))?.version ?? "")
    }
    expect([...versions].sort((a, b) => backend.compareVersions?.(a, b) ?? 0)).toEqual(versions)
    expect(new Set(versions).size).toBe(20)
  })

  test.runIf(process.platform !== "win32")(
    "one that is stopped in a write keeps the others' writes waiting for timeoutMs and no longer",
    async () => {
      const timeoutMs = 700
      const backend = await fixture.openStore(fixture.directory, { timeoutMs })
      await fixture.put(backend, "before", "value")
      const child = spawn(
        process.execPath,
        [SCRIPT, built.file("."), fixture.directory, "stopWhileWriting"],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      )
      children.push(child)
      await once(child.stdout, "data")
      const late = failureOf(() => fixture.put(backend, "late", "value"))
      await fixture.runtime.advance(timeoutMs)
      expect(await late).toMatchObject({ code: "TIMEOUT", operation: "put", key: "late", retryable: true })
      expect((await late).message).toContain("another process holds the write lock")
      expect(await textOf(backend, "before")).toBe("value")
      const opening = await toEnd([SCRIPT, built.file("."), fixture.directory, "tryToOpen", "300"])
      const { code, message, turns } = JSON.parse(opening.stdout)
      if (process.platform === "linux") {
        expect(code).toBe("UNAVAILABLE")
        expect(message).toContain(`thread ${child.pid} has held the write lock`)
        expect(turns).toBeGreaterThan(1)
        // A script that does nothing else waits for the answer as well.
        const script = `const { lmdb } = await import(${JSON.stringify(built.file("tiers/lmdb/backend.js"))});
          await lmdb(process.argv[1], { timeoutMs: 300 }).open().catch((error) => console.log(error.code))`
        const waited = await toEnd(["--input-type=module", "-e", script, fixture.directory])
        expect(waited).toMatchObject({ code: 0, stdout: "UNAVAILABLE\n" })
      }
      const waiting = fixture.put(backend, "waiting", "value")
      child.kill("SIGCONT")
      await once(child, "close")
      await waiting
      expect(await textOf(backend, "waiting")).toBe("value")
      expect(await textOf(backend, "late")).toBeUndefined()
    },
  )

  test("kill -9 loses no acknowledged write, and leaves the store usable to others", async () => {
    const backend = await fixture.openStore()
    for (let round = 0; round < 4; round++) {
      const child = spawn(
        process.execPath,
        [SCRIPT, built.file("."), fixture.directory, "writeOn", `round${round}`],
        {
          stdio: ["ignore", "pipe", "inherit"],
        },
      )
      children.push(child)
      let said = ""
      child.stdout.on("data", (chunk) => {
        said += chunk
        if (said.length > 20_000 + 7_000 * round) child.kill("SIGKILL")
      })
      await once(child, "close")
      expect(child.signalCode).toBe("SIGKILL")
      const acknowledged = said.split("\n").slice(0, -1)
      expect(acknowledged.length).toBeGreaterThan(500)
      for (const key of acknowledged) expect(await textOf(backend, key)).toBe(key)
      await fixture.put(backend, `after:${round}`, "value")
    }
    await backend.close()
    const reopened = await fixture.openStore()
    for (let round = 0; round < 4; round++) expect(await textOf(reopened, `after:${round}`)).toBe("value")
  })
})

/** A command for the shell. */
const command = (job: string) =>
  [process.execPath, SCRIPT, built.file("."), fixture.directory, job].map((word) => `'${word}'`).join(" ")

describe("a process with an LMDB store", () => {
  test("ends by itself with the store open, after the writes that it did not wait for", async () => {
    const end = await toEnd([SCRIPT, built.file("."), fixture.directory, "leaveOpen"])
    expect(end).toMatchObject({ code: 0, signal: null, stderr: "" })
    const backend = await fixture.openStore()
    expect(await textOf(backend, "awaited")).toBe("value")
    expect(await textOf(backend, "not awaited")).toBe("value")
  })

  test.runIf(mayUnshare)(
    "is refused a store that a process with its id has open in another container",
    async () => {
      const inContainer = ["--pid", "--fork", "--kill-child", "--mount-proc", process.execPath, SCRIPT]
      const other = spawn("unshare", [...inContainer, built.file("."), fixture.directory, "stay"], {
        stdio: ["ignore", "pipe", "inherit"],
      })
      children.push(other)
      await once(other.stdout, "data")
      const attempt = `unshare --pid --fork --kill-child --mount-proc ${command("tryToOpen")}`
      const { code, message, ms } = JSON.parse((await shell(attempt, built.folder)).stdout)
      expect(code).toBe("UNAVAILABLE")
      expect(message).toContain("another process with the process id 1")
      // Without the check the package lmdb blocks the event loop for 10 s.
      expect(ms).toBeLessThan(8_000)
      await kill(other)
      expect(JSON.parse((await shell(attempt, built.folder)).stdout).code).toBeUndefined()
    },
  )

  test("is refused a new store on a full tmpfs, and lives on", async ({ skip }) => {
    skip(!mayUnshare, NO_NAMESPACES)
    const mounted = (size: string, fill: string) =>
      `unshare --mount bash -c "mount -t tmpfs -o size=${size} tmpfs '${fixture.directory}' && ${fill} && ` +
      `exec ${command("tryToOpen")}"`
    const full = `head -c 65536 /dev/zero > '${fixture.directory}/fill'`
    const refused = await shell(mounted("64k", full), built.folder)
    expect(refused).toMatchObject({ code: 0, signal: null })
    const { code, message } = JSON.parse(refused.stdout)
    expect(code).toBe("UNAVAILABLE")
    expect(message).toContain("needs 131072 bytes, and its file system has 0 left")
    // What the message names is enough.
    const opened = await shell(mounted("132k", "true"), built.folder)
    expect(opened).toMatchObject({ code: 0, signal: null })
    expect(JSON.parse(opened.stdout).code).toBeUndefined()
  })

  testWith(
    ["bash"],
    "says UNAVAILABLE when the disk is full, keeps what it acknowledged, and goes on once there is room",
    async () => {
      // A limit on the size of a file is to a process what a full disk is; 1,024-byte blocks.
      const end = await shell(`trap '' XFSZ; ulimit -f 1500; ${command("fill")}`, built.folder)
      expect(end.code).toBe(0)
      const { written, failure, attempts, kept } = JSON.parse(end.stdout)
      expect(failure).toBe("UNAVAILABLE")
      expect(attempts).toEqual(["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"])
      expect(written).toBeGreaterThan(20)
      expect(kept).toBe(written)
      const backend = await fixture.openStore()
      expect(await textOf(backend, "small")).toBe("value")
      expect(await textOf(backend, "a")).toBeUndefined()
      expect((await backend.scan("key:", { limit: 1_000 })).entries).toHaveLength(written - 1)
    },
  )
})

function numberOf(backend: Backend, key: string): number {
  const entry = backend.get(key)
  if (entry instanceof Promise) throw new Error("lmdb answers without a promise")
  return entry === undefined ? 0 : Number(Buffer.from(entry.value).toString())
}

function numberIn(message: unknown): number {
  return typeof message === "object" && message !== null && "written" in message ? Number(message.written) : 0
}
