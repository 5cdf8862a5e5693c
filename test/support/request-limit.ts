import { expect } from "vitest"
import type { Backend } from "../../tiers/backend.ts"
import { KvError } from "../../tiers/errors.ts"
import { systemRuntime } from "../../tiers/runtime.ts"
import type { FaultProxy } from "../servers/fault-proxy.ts"
import { codeOf } from "./failures.ts"
import { type TestRuntime, until } from "./runtime.ts"

/** The limit of each of the {@link limitedCalls}. */
export const LIMITED = { timeoutMs: 500 }

interface Behind {
  backend: Backend
  key: string
}

/** Calls of a backend, each of one request with a limit. `behind` gives the backend of the present test. */
export function limitedCalls(behind: () => Behind): [name: string, call: () => unknown][] {
  const write = () => ({ value: Uint8Array.of(1), id: systemRuntime.id() })
  const writes = (key: string) => new Map([[key, write()]])
  const calls: Record<string, (backend: Backend, key: string) => unknown> = {
    get: (backend, key) => backend.get(key, LIMITED),
    getMany: (backend, key) => backend.getMany([key], LIMITED),
    exists: (backend, key) => backend.exists(key, LIMITED),
    probe: (backend, key) => backend.probe([key], LIMITED),
    scan: (backend) => backend.scan("", { limit: 1, ...LIMITED }),
    put: (backend, key) => backend.put(key, write(), LIMITED),
    create: (backend, key) => backend.put(key, { ...write(), condition: { absent: true } }, LIMITED),
    putMany: (backend, key) => backend.putMany(writes(key), LIMITED),
    delete: (backend, key) => backend.delete(key, write(), LIMITED),
    deleteMany: (backend, key) => backend.deleteMany(writes(key), LIMITED),
  }
  return Object.entries(calls).map(([name, call]) => [
    name,
    async () => {
      const { backend, key } = behind()
      const answer = await call(backend, key)
      if (!(answer instanceof Map)) return
      for (const result of answer.values()) if (result instanceof KvError) throw result
    },
  ])
}

/** Expects the call, whose request gets no answer, to end at its limit. */
export async function expectEndAtLimit(
  proxy: FaultProxy,
  runtime: TestRuntime,
  name: string,
  call: () => unknown,
): Promise<void> {
  const hole = proxy.inject({ kind: "black-hole" })
  const code = codeOf(call)
  await until(() => hole.hits === 1)
  await runtime.advance(LIMITED.timeoutMs)
  expect(await code).toBe(/put|create|delete/.test(name) ? "OUTCOME_UNKNOWN" : "TIMEOUT")
}
