// One process among several over an LMDB store: node lmdb-process.mjs BUILT_FOLDER DIRECTORY JOB
import { randomUUID } from "node:crypto"
import { writeSync } from "node:fs"
import { join } from "node:path"
import { open } from "lmdb"

const [built, directory, job, timeoutMs] = process.argv.slice(2)
const { lmdb } = await import(join(built, "tiers", "lmdb", "backend.js"))
const backend = lmdb(directory, job === "tryToOpen" && timeoutMs ? { timeoutMs: Number(timeoutMs) } : {})
if (job === "tryToOpen") {
  const startedAt = performance.now()
  let turns = 0
  const turning = setInterval(() => turns++, 1)
  const error = await backend.open().catch((error) => error)
  clearInterval(turning)
  const ms = performance.now() - startedAt
  writeSync(1, JSON.stringify({ code: error?.code, message: error?.message, ms, turns }))
  process.exit()
}
await backend.open()

const put = (key, text, condition) =>
  backend.put(key, {
    value: Buffer.from(text),
    id: randomUUID().replaceAll("-", ""),
    ...(condition === undefined ? {} : { condition }),
  })

const say = (line) => writeSync(1, `${line}\n`)

const jobs = {
  /** Tries to create keys, all at once; reports which it created. */
  async create(keys) {
    const results = await Promise.all(keys.map((key) => put(key, String(process.pid), { absent: true })))
    return keys.filter((_, index) => results[index].applied)
  },

  /** Adds 1 to a number, by compare-and-set, so many times. */
  async increment(key, times) {
    for (let turn = 0; turn < times; ) {
      const { value, version } = backend.get(key)
      const { applied } = await put(key, String(Number(Buffer.from(value).toString()) + 1), { version })
      if (applied) turn++
    }
  },

  /** Writes 1, 2, 3, …, and reports each after it was written. */
  async count(key, upTo) {
    for (let number = 1; number <= upTo; number++) {
      await put(key, String(number))
      process.send({ written: number })
    }
  },

  /** Writes until it is killed; reports each key after its write was acknowledged. */
  async writeOn(prefix) {
    const writer = async (name) => {
      for (let number = 0; ; number++) {
        const key = `${prefix}:${name}:${number}`
        await put(key, key)
        say(key)
      }
    }
    await Promise.all(Array.from({ length: 16 }, (_, name) => writer(name)))
  },

  /** Suspends itself during a write, while it holds the write lock. */
  async stopWhileWriting() {
    const db = open({ path: directory, noSubdir: false, encoding: "binary", overlappingSync: false })
    db.transactionSync(() => {
      say("stopping")
      process.kill(process.pid, "SIGSTOP")
    })
    await db.close()
    await backend.close()
  },

  /** Keeps the store open until it is killed. */
  async stay() {
    backend.get("key")
    say("open")
    setInterval(() => {}, 60_000)
  },

  /** Leaves the store open, with a write that is not awaited. */
  async leaveOpen() {
    await put("awaited", "value")
    put("not awaited", "value")
    backend.get("awaited")
  },

  /** Writes until the disk is full; reports the outcome. */
  async fill() {
    let written = 0
    let failure
    while (failure === undefined) {
      try {
        await put(`key:${written}`, "x".repeat(20_000))
        written++
      } catch (error) {
        failure = error.code
      }
    }
    const attempts = await Promise.allSettled(["a", "b", "c"].map((key) => put(key, "x".repeat(20_000))))
    const kept = (await backend.scan("key:", { limit: 10_000 })).entries.length
    await backend.delete("key:0", { id: randomUUID().replaceAll("-", "") })
    await put("small", "value")
    await backend.close()
    say(JSON.stringify({ written, failure, attempts: attempts.map(({ reason }) => reason?.code), kept }))
  },
}

if (job === "serve") {
  process.on("message", async ({ call, args }) => {
    process.send({ result: (await jobs[call](...args)) ?? null })
  })
  process.send({ ready: true })
} else {
  await jobs[job](...process.argv.slice(5))
}
