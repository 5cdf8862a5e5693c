import type { Backend, ServiceTime } from "../../tiers/backend.ts"
import { type MemoryOptions, type MemoryStore, memory, memoryStore } from "../../tiers/memory.ts"

/**
 * The memory backend, like one in another process: answers come as promises, and a conditional delete leaves a trace with
 * its id, so that one whose reply was lost is recognised. The trace stays until the key is written again.
 */
export function remoteMemory({
  store = memoryStore(),
  clock = true,
  ...options
}: RemoteMemoryOptions = {}): Backend {
  const backend = memory({ store, ...options })
  /** The ordinal numbers of the writes serve as a clock, on which no two writes have the same time. */
  const timeOf = (sequence: number): ServiceTime => ({
    clock: `life ${lives.get(store) ?? 1}`,
    earliest: sequence,
    latest: sequence,
  })
  const traces = tracesIn(store)
  return {
    ...backend,
    traits: { ...backend.traits, inProcess: false },
    get: async (key) => backend.get(key),
    getMany: async (keys) => backend.getMany(keys),
    exists: async (key) => backend.exists(key),
    async put(key, write) {
      const result = await backend.put(key, write)
      if (result.applied) traces.delete(key)
      return result
    },
    async putMany(writes) {
      const results = await backend.putMany(writes)
      for (const key of writes.keys()) traces.delete(key)
      return results
    },
    async delete(key, removal) {
      if (removal.condition !== undefined && traces.get(key) === removal.id) return { applied: true }
      const result = await backend.delete(key, removal)
      if (!result.applied) return result
      if (removal.condition === undefined) traces.delete(key)
      else traces.set(key, removal.id)
      return result
    },
    async deleteMany(removals) {
      const results = await backend.deleteMany(removals)
      for (const key of removals.keys()) traces.delete(key)
      return results
    },
    async probe(keys) {
      const heads = await backend.probe(keys)
      for (const [key, head] of heads) {
        if (!clock || head instanceof Error) continue
        heads.set(key, { ...head, writtenAt: timeOf(Number.parseInt(head.version.slice(0, 16), 16)) })
      }
      for (const key of keys) {
        const id = traces.get(key)
        if (id !== undefined) heads.set(key, { id, version: `trace-${id}`, live: false })
      }
      return heads
    },
    ...(clock ? { serviceTime: () => ({ ...timeOf(store.sequence), latest: store.sequence + 0.5 }) } : {}),
  }
}

export interface RemoteMemoryOptions extends MemoryOptions {
  /** Whether it knows when rows were written, and what time it is. @default true */
  clock?: boolean
}

/** All rows are lost, and the order of the versions begins anew, with a clock of its own. */
export function restart(store: MemoryStore): void {
  Object.assign(store, { ...memoryStore(), rows: store.rows })
  store.rows.clear()
  allTraces.get(store)?.clear()
  lives.set(store, (lives.get(store) ?? 1) + 1)
}

/** How often a store has begun anew, and once. */
const lives = new WeakMap<MemoryStore, number>()

/** The ids of the conditional deletes, by key. Backends over one store share them, as they share its rows. */
function tracesIn(store: MemoryStore): Map<string, string> {
  const traces = allTraces.get(store) ?? new Map<string, string>()
  allTraces.set(store, traces)
  return traces
}

const allTraces = new WeakMap<MemoryStore, Map<string, string>>()
