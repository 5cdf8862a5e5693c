import { azureTablesDescription } from "../../tiers/azure-tables/binding.ts"
import type { Backend } from "../../tiers/backend.ts"
import type { BackendDescription, MakeOptions } from "../../tiers/binding.ts"
import { dynamodbDescription } from "../../tiers/dynamodb/binding.ts"
import { firestoreDescription } from "../../tiers/firestore/binding.ts"
import { lmdbDescription } from "../../tiers/lmdb/binding.ts"
import { memoryDescription } from "../../tiers/memory-binding.ts"
import { redisDescription } from "../../tiers/redis/binding.ts"

/** Every backend that a URL or a binding can name, in the order in which messages list them. */
export const CATALOGUE: readonly BackendDescription[] = [
  dynamodbDescription,
  firestoreDescription,
  azureTablesDescription,
  redisDescription,
  lmdbDescription,
  memoryDescription,
]

/** Where a store lies: what the URLs, the environment variables and the bindings all come down to. */
export interface Binding {
  readonly backend: BackendDescription
  /** Read by `backend`. They may hold a credential. */
  readonly settings: object
}

/** The backend of a binding, not yet opened. Loads it, and no other. */
export function backendOf({ backend, settings }: Binding, options: MakeOptions): Promise<Backend> {
  return backend.make(settings, options)
}

/** Bindings with the same identity are of one backend with the same settings. It may hold a credential. */
export function identityOf({ backend, settings }: Binding): string {
  return JSON.stringify([backend.kind, settings])
}
