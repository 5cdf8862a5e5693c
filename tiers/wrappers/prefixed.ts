import type { Backend, KeyedEntry } from "../backend.ts"
import { forward } from "./forward.ts"

/**
 * A backend over those keys of `backend` that start with `prefix`, so that several stores can share one file. For backends without an
 * option for a prefix.
 */
export function prefixed(backend: Backend, prefix: string): Backend {
  const inner = (key: string) => prefix + key
  const outer = (key: string) => key.slice(prefix.length)
  const innerMap = <T>(map: ReadonlyMap<string, T>) => mapKeys(map, inner)
  const outerMap = <T>(map: ReadonlyMap<string, T>) => mapKeys(map, outer)
  const lend = backend.lend?.bind(backend)

  return forward(backend, {
    traits: { ...backend.traits, target: `${backend.traits.target}#${prefix}` },
    get: (key, callers) => backend.get(inner(key), callers),
    ...(lend === undefined ? {} : { lend: (key) => lend(inner(key)) }),
    getMany(keys, callers) {
      const found = backend.getMany(keys.map(inner), callers)
      return found instanceof Promise ? found.then(outerMap) : outerMap(found)
    },
    exists: (key) => backend.exists(inner(key)),
    put: (key, write) => backend.put(inner(key), write),
    putMany: async (writes) => outerMap(await backend.putMany(innerMap(writes))),
    delete: (key, removal) => backend.delete(inner(key), removal),
    deleteMany: async (removals) => outerMap(await backend.deleteMany(innerMap(removals))),
    async scan(scanned, page) {
      const { entries, ...rest } = await backend.scan(inner(scanned), page)
      return { ...rest, entries: entries.map((entry): KeyedEntry => ({ ...entry, key: outer(entry.key) })) }
    },
    wasWrittenBy: (key, id) => backend.wasWrittenBy(inner(key), id),
  })
}

function mapKeys<T>(map: ReadonlyMap<string, T>, rename: (key: string) => string): Map<string, T> {
  return new Map(Array.from(map, ([key, value]) => [rename(key), value]))
}
