import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { open } from "lmdb"
import { kv } from "tiered-kv"
import { median, table } from "./compare.js"

const ROUNDS = 21
const VALUE = "x".repeat(100)
/** Prints the answer, and the times since the process began. A process that only does this is the base. */
const END = `
  const { user, system } = process.cpuUsage()
  process.stdout.write(JSON.stringify({ answer, cpuMs: (user + system) / 1e3, wallMs: process.uptime() * 1e3 }))
  process.exit()`

/**
 * From the start of a process to its first read: the import, the first store and one `get`, each in a process of its own that loads the
 * package as it is built, or the library beside it. The processes take turns. What counts is the time above that of a process that does nothing.
 */
export async function start() {
  const directory = mkdtempSync(join(tmpdir(), "tiered-kv-bench-"))
  const bare = join(directory, "bare")
  const tiered = `lmdb:${join(directory, "tiered")}`
  await fillLmdb(bare, tiered)
  const ours = (backend) => `
    import { kv } from "tiered-kv"
    const store = await kv("cache", { backend: ${JSON.stringify(backend)} })
    const answer = await store.getText("user:1")`
  const nothing = "const answer = undefined"
  compareStarts("Memory: import, open, read an absent key", undefined, 1.5, {
    "an empty process": nothing,
    unstorage: `
      import { createStorage } from "unstorage"
      const storage = createStorage() // its driver is memory
      const answer = (await storage.getItem("user:1")) ?? undefined`,
    "tiered-kv": ours("memory:"),
  })
  compareStarts("LMDB: import, open, read a key", VALUE, 1.3, {
    "an empty process": nothing,
    lmdb: `
      import { open } from "lmdb"
      const db = open({ path: ${JSON.stringify(bare)}, noSubdir: false })
      const answer = db.get("user:1")`,
    "tiered-kv": ours(tiered),
  })
  rmSync(directory, { recursive: true })
}

async function fillLmdb(bare, tiered) {
  const db = open({ path: bare, noSubdir: false })
  await db.put("user:1", VALUE)
  await db.close()
  const store = await kv("filled", { backend: tiered })
  await store.set("user:1", VALUE)
  await store.close()
}

/** Times programs: the first is the base, the second the reference of the others, which are to take at most `goal` times its time. */
function compareStarts(title, expected, goal, programs) {
  const names = Object.keys(programs)
  const [base, reference] = names
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = -1; round < ROUNDS; round++) {
    for (const name of names) {
      const { answer, ...time } = run(programs[name])
      if (name !== base && answer !== expected) throw new Error(`${name} answered ${answer}`)
      if (round >= 0) times[name].push(time)
    }
  }
  const timeOf = (name, clock) => median(times[name].map((time) => time[clock]))
  const aboveBase = (name, clock) => timeOf(name, clock) - timeOf(base, clock)
  const rows = names.map((name) => {
    const cells = ["cpuMs", "wallMs"].flatMap((clock) => {
      const above = aboveBase(name, clock)
      const ratio = name === base ? "" : `${(above / aboveBase(reference, clock)).toFixed(2)}×`
      return [`${timeOf(name, clock).toFixed(1)} ms`, `+ ${above.toFixed(1)} ms`, ratio]
    })
    const ratio = aboveBase(name, "cpuMs") / aboveBase(reference, "cpuMs")
    const isJudged = name !== base && name !== reference
    return [name, ...cells, isJudged ? `≤ ${goal}× ${ratio <= goal ? "met" : "MISSED"}` : ""]
  })
  const head = ["", "processor", "above", "ratio", "wall clock", "above", "ratio", "goal, processor"]
  table(`${title}, ${ROUNDS} rounds`, head, rows)
}

function run(program) {
  const args = ["--input-type=module", "--eval", program + END]
  const cwd = fileURLToPath(new URL(".", import.meta.url))
  return JSON.parse(execFileSync(process.execPath, args, { cwd, encoding: "utf8" }))
}
