import type { Backend } from "../../../tiers/backend.ts"
import { type MemoryStore, memory, memoryStore } from "../../../tiers/memory.ts"
import type { Runtime } from "../../../tiers/runtime.ts"

export interface MadeUpSettings {
  /** Name of the shelf. */
  shelf: string
  room?: string
}

const shelves = new Map<string, MemoryStore>()

/** A backend that stands for a service: as if over a network, and every backend on one shelf has the same rows. */
export function madeUp({ shelf, room = "hall" }: MadeUpSettings, { runtime }: { runtime: Runtime }): Backend {
  const target = `${room}/${shelf}`
  const store = shelves.get(target) ?? memoryStore()
  shelves.set(target, store)
  const backend = memory({ runtime, store })
  return { ...backend, traits: { ...backend.traits, kind: "made-up", target, inProcess: false } }
}
