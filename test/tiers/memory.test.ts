import { memory, memoryStore } from "../../tiers/memory.ts"
import { describeConformance } from "../support/conformance/run.ts"

describeConformance("memory", {
  createStore(runtime) {
    const store = memoryStore()
    return { connect: () => memory({ runtime, store }) }
  },
})
