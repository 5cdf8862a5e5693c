import { cpus } from "node:os"
import { backends } from "./backends.js"
import { bus } from "./bus.js"
import { coldKey } from "./cold-key.js"
import { hits } from "./hits.js"
import { libraries } from "./libraries.js"
import { lmdb } from "./lmdb.js"
import { memory } from "./memory.js"
import { peers } from "./peers.js"
import { start } from "./start.js"
import { storage } from "./storage.js"
import { telemetry } from "./telemetry.js"

/** The benchmarks by name: `npm run bench` runs them all, `npm run bench -- NAME …` the ones named. */
const BENCHMARKS = {
  hits,
  storage,
  lmdb,
  "cold-key": coldKey,
  memory,
  peers,
  start,
  backends,
  bus,
  telemetry,
  libraries,
}

const named = process.argv.slice(2)
const unknown = named.filter((name) => !Object.hasOwn(BENCHMARKS, name))
if (unknown.length > 0) {
  console.error(
    `There is no benchmark ${unknown.join(", ")}; known are ${Object.keys(BENCHMARKS).join(", ")}`,
  )
  process.exit(2)
}

console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}`)
console.log("Ratios are medians of rounds that take turns; compare them, not the times.")
for (const name of named.length > 0 ? named : Object.keys(BENCHMARKS)) await BENCHMARKS[name]()
