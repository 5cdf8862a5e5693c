import type { Backend } from "../backend.ts"

/**
 * A backend that passes every call on to `inner`, but for the methods in `overrides`. Every wrapper is made with it, so
 * that none loses a method: an optional one is there where `inner` or `overrides` has it. The methods of `inner` are
 * bound to it, so that a call that is passed on is a direct call of `inner`.
 */
export function forward(inner: Backend, overrides: Partial<Backend>): Backend {
  const { lend, compareVersions } = inner
  return {
    traits: inner.traits,
    open: inner.open.bind(inner),
    get: inner.get.bind(inner),
    ...(lend === undefined ? {} : { lend: lend.bind(inner) }),
    getMany: inner.getMany.bind(inner),
    exists: inner.exists.bind(inner),
    put: inner.put.bind(inner),
    putMany: inner.putMany.bind(inner),
    delete: inner.delete.bind(inner),
    deleteMany: inner.deleteMany.bind(inner),
    scan: inner.scan.bind(inner),
    wasWrittenBy: inner.wasWrittenBy.bind(inner),
    ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(inner) }),
    close: inner.close.bind(inner),
    ...overrides,
  }
}
