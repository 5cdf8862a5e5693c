import { ServerUnavailable, type TestServer } from "../servers/server.ts"

type Address = Omit<TestServer, "stop">

/** What the files of a run share. Each thing is made for the first file that asks, and removed after the run. */
export interface Shared {
  /** The project as it is built, in a folder that nobody writes to. */
  build: { folder: string }
  dynamodb: Address
  firestore: Address
  "azure-tables": Address & { connectionString: string }
}

/** Names the port at which `sharing.ts` answers, in vitest's own process. It sets it before the workers start. */
export const SHARING_PORT = "TIERED_KV_TEST_SHARING"

/** What it answers: the thing, or why there is none. */
export type Sharing<T> =
  | { made: T }
  | { unavailable: { reason: string; remedy: string } }
  | { failed: string }

export async function shared<Name extends keyof Shared>(name: Name): Promise<Shared[Name]> {
  const response = await fetch(`http://127.0.0.1:${process.env[SHARING_PORT]}/${name}`)
  const sharing: Sharing<Shared[Name]> = JSON.parse(await response.text())
  if ("made" in sharing) return sharing.made
  if ("failed" in sharing) throw new Error(`${name} could not be made: ${sharing.failed}`)
  const { reason, remedy } = sharing.unavailable
  throw new ServerUnavailable(reason, remedy)
}

/** A server that all files of the run share. Each file uses tables and keys of its own there. */
export async function sharedServer<Name extends Exclude<keyof Shared, "build">>(name: Name) {
  return { ...(await shared(name)), stop: async () => {} }
}
