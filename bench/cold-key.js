import { kv } from "tiered-kv"
import { memory } from "tiered-kv/memory"
import { table } from "./compare.js"

const CALLERS = 10_000

/** Many concurrent callers of one cold key: reads of the backend, loads, and the time until all have their answer. */
export async function coldKey() {
  const rows = []
  for (const call of ["getText", "getOrSet"]) {
    const backend = counted(memory())
    const store = await kv("cold", { backend })
    await store.set("other", "value")
    if (call === "getText") await store.set("key", "value")
    let loads = 0
    const loader = async () => {
      loads++
      return "value"
    }
    backend.reads = 0
    const start = performance.now()
    const calls = Array.from({ length: CALLERS }, () =>
      call === "getText" ? store.getText("key") : store.getOrSet("key", loader),
    )
    const values = await Promise.all(calls)
    const ms = performance.now() - start
    if (values.some((value) => value !== "value")) throw new Error("a caller got something else")
    rows.push([`${CALLERS.toLocaleString("en")} × ${call}`, backend.reads, loads, `${ms.toFixed(1)} ms`])
    await store.close()
  }
  table(
    "One cold key, all at once, over a backend that answers later",
    ["", "backend reads", "loads", "time"],
    rows,
  )
}

/** A backend that counts its reads and answers them in a later turn, as one over a network does. */
function counted(backend) {
  return {
    ...backend,
    traits: { ...backend.traits, inProcess: false },
    reads: 0,
    async get(key) {
      this.reads++
      await new Promise((resolve) => setImmediate(resolve))
      return backend.get(key)
    },
  }
}
