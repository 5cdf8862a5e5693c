import { azureTablesDescription } from "../../tiers/azure-tables/binding.ts"
import type { Backend } from "../../tiers/backend.ts"
import type { BackendDescription, MakeOptions } from "../../tiers/binding.ts"
import { dynamodbDescription } from "../../tiers/dynamodb/binding.ts"
import { firestoreDescription } from "../../tiers/firestore/binding.ts"
import { lmdbDescription } from "../../tiers/lmdb/binding.ts"
import { memoryDescription } from "../../tiers/memory-binding.ts"
import { redisDescription } from "../../tiers/redis/binding.ts"

/** All backends that a URL or a binding can name, in the order of messages and help. */
export const CATALOGUE: readonly BackendDescription[] = [
  dynamodbDescription,
  firestoreDescription,
  azureTablesDescription,
  redisDescription,
  lmdbDescription,
  memoryDescription,
]

/** A backend and its settings: the result of parsing a URL or an Alien binding. */
export interface Binding {
  readonly backend: BackendDescription
  /** In the form that `backend` reads. They may hold a credential. */
  readonly settings: object
  /** Whether nothing is configured, and these are the default settings. */
  readonly isFallback?: true
}

/** Makes the backend of a binding, not yet open. Loads the module of that backend only. */
export function backendOf({ backend, settings }: Binding, options: MakeOptions): Promise<Backend> {
  return backend.make(settings, options)
}

/** Equal for bindings of the same backend with the same settings. It may hold a credential. */
export function identityOf({ backend, settings }: Binding): string {
  return JSON.stringify([backend.kind, settings])
}
