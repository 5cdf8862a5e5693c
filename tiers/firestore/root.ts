import type { Firestore } from "@google-cloud/firestore"
import { KIND } from "./errors.ts"
import { endpointOf, type FirestoreSettings } from "./settings.ts"

/** `BackendTraits.root` of a collection over settings: address, project, database and collection. Throws `BINDING_INVALID`. */
export function rootOf(settings: FirestoreSettings, target: string): string {
  const { host, port } = endpointOf(settings) ?? {}
  return JSON.stringify([KIND, host, port, target])
}

/** The same over a client, which does not tell its address and project: a number of the client stands for them. */
export function rootOfClient(client: Firestore, target: string): string {
  const number = numbers.get(client) ?? ++clients
  numbers.set(client, number)
  return JSON.stringify([KIND, number, target])
}

const numbers = new WeakMap<Firestore, number>()
let clients = 0

/** The server that settings name; nothing for Google's own. */
export function serverOf(settings: FirestoreSettings): { address?: string; port?: number } {
  const { host, port } = endpointOf(settings) ?? {}
  return { ...(host === undefined ? {} : { address: host }), ...(port === undefined ? {} : { port }) }
}
