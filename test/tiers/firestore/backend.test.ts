import { Firestore } from "@google-cloud/firestore"
import { afterAll, vi } from "vitest"
import { firestore } from "../../../tiers/firestore/backend.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import { startFirestoreEmulator } from "../../servers/firestore.ts"
import { requireServer } from "../../servers/require-server.ts"
import { describeConformance } from "../../support/conformance/run.ts"

const projectId = "demo-tiered-kv"
// Otherwise the SDK looks for a metadata service outside this machine before it uses an emulator.
vi.stubEnv("METADATA_SERVER_DETECTION", "none")
/** A cold emulator on a busy machine takes seconds for its first answers. */
const PATIENT_MS = 20_000

await requireServer("firestore", startFirestoreEmulator, (server) => {
  const client = new Firestore({ projectId, host: `127.0.0.1:${server.port}`, ssl: false })
  afterAll(() => client.terminate())

  const sources = {
    "firestore, of settings": { projectId, databaseId: "kv", endpoint: server.url },
    "firestore, over a client": client,
  }
  for (const [name, source] of Object.entries(sources)) {
    describeConformance(name, {
      createStore(runtime) {
        const collection = `store-${systemRuntime.id()}`
        return { connect: () => firestore(source, { collection, runtime, requestTimeoutMs: PATIENT_MS }) }
      },
    })
  }
})
