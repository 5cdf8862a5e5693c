import { expect, test } from "vitest"
import type { Backend } from "../../../tiers/backend.ts"
import { memory } from "../../../tiers/memory.ts"
import { coalescing } from "../../../tiers/wrappers/coalescing.ts"
import { forward } from "../../../tiers/wrappers/forward.ts"
import { prefixed } from "../../../tiers/wrappers/prefixed.ts"
import { resilient } from "../../../tiers/wrappers/resilience/resilience.ts"

type Methods = Required<Omit<Backend, "traits">>

/** One call of every method of the contract: a method that is added to it has to be added here. */
const CALLS: { readonly [M in keyof Methods]: Parameters<Methods[M]> } = {
  open: [],
  get: ["a", { callers: ["caller"] }],
  lend: ["a"],
  getMany: [["a", "b"], { callers: ["caller"] }],
  exists: ["a", { timeoutMs: 1 }],
  put: ["a", { value: Buffer.from("1"), id: "1".padStart(32, "0") }],
  putMany: [new Map([["a", { value: Buffer.from("1"), id: "2".padStart(32, "0") }]])],
  delete: ["a", { id: "3".padStart(32, "0") }],
  deleteMany: [new Map([["a", { id: "4".padStart(32, "0") }]])],
  scan: ["a", { limit: 10 }],
  probe: [["a", "b"], { timeoutMs: 1 }],
  serviceTime: ["a"],
  replicatedUntil: [],
  compareVersions: ["1", "2"],
  close: [],
}
const METHODS = Object.keys(CALLS) as (keyof Methods)[]

/** A backend of which every method notes its call, and throws if it is not called as its method. */
function noting() {
  const calls: { method: string; args: readonly unknown[] }[] = []
  const backend: Required<Backend> = {
    lend: () => undefined,
    serviceTime: () => undefined,
    replicatedUntil: () => undefined,
    compareVersions: () => 0,
    ...memory(),
  }
  for (const method of METHODS) {
    const value = function (this: unknown, ...args: unknown[]) {
      if (this !== backend) throw new Error(`${method} is not bound`)
      calls.push({ method, args })
      return method
    }
    Object.defineProperty(backend, method, { value })
  }
  return { backend, calls }
}

test("every method of the contract is passed on, with its arguments and what it returns", () => {
  const { backend, calls } = noting()
  const wrapper = forward(backend, {})
  expect(wrapper.traits).toBe(backend.traits)
  for (const method of METHODS) {
    calls.length = 0
    const returned = Reflect.apply(wrapper[method] ?? (() => "lost"), undefined, CALLS[method])
    expect([returned, calls]).toEqual([method, [{ method, args: CALLS[method] }]])
  }
})

test("an override takes the place of its method alone", async () => {
  const { backend, calls } = noting()
  const wrapper = forward(backend, { exists: async () => true, lend: () => undefined })
  expect(await wrapper.exists("a")).toBe(true)
  expect(wrapper.lend?.("a")).toBeUndefined()
  expect(calls).toEqual([])
  wrapper.get("a")
  expect(calls).toHaveLength(1)
})

test("a method that the backend does not have is not there", () => {
  const { lend, serviceTime, replicatedUntil, compareVersions, ...backend } = memory()
  expect(Object.keys(forward(backend, {}))).not.toContain("lend")
  expect(Object.keys(forward(backend, {}))).not.toContain("serviceTime")
  expect(Object.keys(forward(backend, {}))).not.toContain("replicatedUntil")
  expect(Object.keys(forward(backend, {}))).not.toContain("compareVersions")
})

test.each([
  ["coalescing", coalescing],
  ["resilient", resilient],
  ["prefixed", (backend: Backend) => prefixed(backend, "app:")],
])("%s has every method of the backend that it wraps, and no other", (_, wrap) => {
  const { backend } = noting()
  expect(Object.keys(wrap(backend)).sort()).toEqual(["traits", ...METHODS].sort())
  const { lend, serviceTime, replicatedUntil, compareVersions, ...smaller } = backend
  expect(Object.keys(wrap(smaller)).sort()).toEqual(Object.keys(smaller).sort())
})
