import type { Backend } from "../../tiers/backend.ts"

/** Whether the attempt with this id left the row under `key`, live or expired. */
export async function wasWrittenBy(backend: Backend, key: string, id: string): Promise<boolean> {
  const head = (await backend.probe([key])).get(key)
  if (head instanceof Error) throw head
  return head?.id === id
}
