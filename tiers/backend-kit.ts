/**
 * What a backend outside this package is written with, as `tiered-kv/backend`: the contract, its errors, time and chance
 * as inputs, the limits, and the helpers that the backends of this package share. See docs/writing-a-backend.md.
 */
export type * from "./backend.ts"
export type {
  AlienDescription,
  BackendDescription,
  FieldReader,
  MakeOptions,
  Refuse,
  UrlDescription,
  UrlReader,
} from "./binding.ts"
export { KvError, type KvErrorCode, type KvErrorDetails } from "./errors.ts"
export { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "./limits.ts"
export { type Runtime, systemRuntime, type Timer } from "./runtime.ts"
export { type Check, type Checks, checkOptions, optional, wholeNumber } from "./util/checks.ts"
export { OpenOnce } from "./util/open-once.ts"
export { inParallel } from "./util/parallel.ts"
export { type Lease, SharedResource } from "./util/shared-resource.ts"
