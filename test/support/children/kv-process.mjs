// A process of its own with a store that it finds in its environment. Calls come in as messages, results go back.
import { kv } from "tiered-kv"

const store = await kv("store")

process.on("message", async ({ call, args }) => {
  try {
    process.send({ result: (await store[call](...args)) ?? null })
  } catch (error) {
    process.send({ failure: `${error.code}: ${error.message}` })
  }
})
process.send({ result: "ready" })
