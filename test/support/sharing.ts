import { createServer } from "node:http"
import type { TestProject } from "vitest/node"
import { listenOnLoopback, ServerUnavailable } from "../servers/server.ts"
import { SHARING_PORT, type Shared, type Sharing } from "./shared.ts"

interface Made {
  /** Stops or removes it. */
  stop(): Promise<void>
}

/** Imported when they are needed: the SDKs alone take a second. */
const MAKERS: { readonly [Name in keyof Shared]: () => Promise<Shared[Name] & Made> } = {
  build: async () => (await import("./built.ts")).compile(),
  dynamodb: async () => (await import("../servers/dynamodb.ts")).launchDynamodbLocal(),
  firestore: async () => (await import("../servers/firestore.ts")).launchFirestoreEmulator(),
  "azure-tables": async () => (await import("../servers/azurite.ts")).launchAzurite(),
}
const NAMES = Object.keys(MAKERS) as (keyof Shared)[]

/** Vitest's global set-up: makes what the files of a run share, each once and when it is first asked for. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const made = new Map<keyof Shared, Promise<Shared[keyof Shared] & Made>>()
  const take = async (name: keyof Shared) => {
    const thing = made.get(name)
    made.delete(name)
    await (await thing?.catch(() => undefined))?.stop()
  }
  const answer = async (name: keyof Shared): Promise<Sharing<object>> => {
    const making = made.get(name) ?? MAKERS[name]()
    made.set(name, making)
    try {
      return { made: await making }
    } catch (error) {
      if (!(error instanceof ServerUnavailable)) return { failed: String(error) }
      const { reason, remedy } = error
      return { unavailable: { reason, remedy } }
    }
  }

  const server = createServer(async (request, response) => {
    const name = NAMES.find((name) => request.url === `/${name}`)
    const sharing: Sharing<object> = name === undefined ? { failed: "nobody makes it" } : await answer(name)
    response.end(JSON.stringify(sharing))
  })
  process.env[SHARING_PORT] = String(await listenOnLoopback(server))
  // In watch mode the source has changed by then.
  project.onTestsRerun(() => take("build"))
  return async () => {
    await Promise.all(NAMES.map(take))
    server.closeAllConnections()
    server.close()
  }
}
