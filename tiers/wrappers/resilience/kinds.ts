import type { CallKind } from "./call.ts"
import type { Operation } from "./observer.ts"

/** The kinds of calls, by method. */
export const READ = {
  get: { operation: "get", effect: "read", limits: "read" },
  getMany: { operation: "getMany", effect: "read", limits: "read" },
  exists: { operation: "exists", effect: "read", limits: "read" },
  probe: { operation: "probe", effect: "read", limits: "read" },
} satisfies Partial<Record<Operation, CallKind>>
export const WRITE = {
  put: { operation: "put", effect: "write", limits: "write" },
  putMany: { operation: "putMany", effect: "write", limits: "write" },
  delete: { operation: "delete", effect: "write", limits: "write" },
  deleteMany: { operation: "deleteMany", effect: "write", limits: "write" },
} satisfies Partial<Record<Operation, CallKind>>
export const SCAN: CallKind = { operation: "scan", effect: "read", limits: "scan" }
