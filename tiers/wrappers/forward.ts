import type { Backend } from "../backend.ts"

/**
 * A backend that passes every call on to `inner`, except the methods in `overrides`. Every wrapper is made with it, so that no wrapper
 * loses a method. An optional method is present if `inner` or `overrides` has it. The methods are bound to `inner`, so that passing a
 * call on adds no stack frame.
 */
export function forward(inner: Backend, overrides: Partial<Backend>): Backend {
  const { lend, serviceTime, replicatedUntil, compareVersions } = inner
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
    probe: inner.probe.bind(inner),
    ...(serviceTime === undefined ? {} : { serviceTime: serviceTime.bind(inner) }),
    ...(replicatedUntil === undefined ? {} : { replicatedUntil: replicatedUntil.bind(inner) }),
    ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(inner) }),
    close: inner.close.bind(inner),
    ...overrides,
  }
}
