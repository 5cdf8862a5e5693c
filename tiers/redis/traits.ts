import type { BackendTraits, Place } from "../backend.ts"
import { KIND, responseAttributes } from "./errors.ts"

/** Keys in one call. Redis has no limit; 100 entries of the largest size make an answer of 2.4 MB. */
export const MAX_BATCH = 100

export function traitsOf(target: string, place: Place): BackendTraits {
  return {
    kind: KIND,
    target,
    system: "redis",
    place,
    inProcess: false,
    ordered: true,
    maxReadBatch: MAX_BATCH,
    maxWriteBatch: MAX_BATCH,
    calls: {
      get: "GET",
      getMany: "MGET",
      exists: "EVALSHA",
      put: "EVALSHA",
      putMany: "EVALSHA",
      delete: "UNLINK",
      deleteMany: "UNLINK",
      scan: "SCAN",
    },
    procedures: { exists: "exists", put: "write", putMany: "write" },
    conditionalDelete: { call: "EVALSHA", procedure: "write" },
    responseAttributes,
  }
}
