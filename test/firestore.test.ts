import { firestore } from "../tiers/firestore.ts"
import { systemRuntime } from "../tiers/runtime.ts"
import { describeConformance } from "./conformance/run.ts"
import { startFirestoreEmulator } from "./servers/firestore.ts"
import { requireServer } from "./servers/server.ts"

await requireServer("firestore", startFirestoreEmulator, (server) => {
  describeConformance("firestore", {
    createStore(runtime) {
      const collection = `store-${systemRuntime.id()}`
      const settings = { projectId: "demo-tiered-kv", endpoint: server.url }
      return { connect: () => firestore(settings, { collection, runtime }) }
    },
  })
})
