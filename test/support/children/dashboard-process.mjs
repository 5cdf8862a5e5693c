// A process with a store and its dashboard: node dashboard-process.mjs BUILT_FOLDER PORT READS
import { createServer } from "node:http"
import { join } from "node:path"

const [built, port, reads] = process.argv.slice(2)
const { kv } = await import(join(built, "src", "index.js"))
const { dashboard, nodeListener } = await import(join(built, "telemetry", "dashboard", "handler.js"))

const cache = await kv("cache", { backend: "memory:", l1: { ttlMs: 60_000 } })
await cache.set("a", "1")
for (let read = 0; read < Number(reads); read++) await cache.get("a")
createServer(nodeListener(dashboard({ name: `child ${port}` }))).listen(Number(port), "127.0.0.1")
