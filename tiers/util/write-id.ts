import type { Runtime } from "../runtime.ts"

/** The digit of an identity that says how the attempt was sent. A random UUID has its version number there: 4. */
const KIND_AT = 12
const UNCONDITIONAL = "a"
const CONDITIONAL = "c"

/** A new identity for one attempt of a write or a delete: 32 hexadecimal digits, one of which says whether the attempt has a condition. */
export function writeId(runtime: Runtime, conditional: boolean): string {
  const id = runtime.id()
  return id.slice(0, KIND_AT) + (conditional ? CONDITIONAL : UNCONDITIONAL) + id.slice(KIND_AT + 1)
}

/** Whether the attempt with this identity certainly had no condition. `false` for identities that {@link writeId} did not make. */
export function isUnconditional(id: string): boolean {
  return id[KIND_AT] === UNCONDITIONAL
}
