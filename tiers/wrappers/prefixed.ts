import type { Backend, KeyedEntry } from "../backend.ts"
import { forward } from "./forward.ts"

/**
 * A backend over those keys of `backend` that start with `prefix`, so that several stores can share one file. For backends without an
 * option for a prefix.
 */
export function prefixed(backend: Backend, prefix: string): Backend {
  const { traits } = backend
  const inner = (key: string) => prefix + key
  const outer = (key: string) => key.slice(prefix.length)
  const innerMap = <T>(map: ReadonlyMap<string, T>) => mapKeys(map, inner)
  const outerMap = <T>(map: ReadonlyMap<string, T>) => mapKeys(map, outer)
  const lend = backend.lend?.bind(backend)
  const serviceTime = backend.serviceTime?.bind(backend)

  return forward(backend, {
    traits: {
      ...traits,
      target: `${traits.target}#${prefix}`,
      root: traits.root ?? backend,
      keyPrefix: (traits.keyPrefix ?? "") + prefix,
    },
    get: (key, request) => backend.get(inner(key), request),
    ...(lend === undefined ? {} : { lend: (key) => lend(inner(key)) }),
    getMany(keys, request) {
      const found = backend.getMany(keys.map(inner), request)
      return found instanceof Promise ? found.then(outerMap) : outerMap(found)
    },
    exists: (key, request) => backend.exists(inner(key), request),
    put: (key, write, request) => backend.put(inner(key), write, request),
    putMany: async (writes, request) => outerMap(await backend.putMany(innerMap(writes), request)),
    delete: (key, removal, request) => backend.delete(inner(key), removal, request),
    deleteMany: async (removals, request) => outerMap(await backend.deleteMany(innerMap(removals), request)),
    async scan(scanned, page) {
      const { entries, ...rest } = await backend.scan(inner(scanned), page)
      return { ...rest, entries: entries.map((entry): KeyedEntry => ({ ...entry, key: outer(entry.key) })) }
    },
    probe: async (keys, request) => outerMap(await backend.probe(keys.map(inner), request)),
    ...(serviceTime === undefined ? {} : { serviceTime: (key) => serviceTime(inner(key)) }),
  })
}

function mapKeys<T>(map: ReadonlyMap<string, T>, rename: (key: string) => string): Map<string, T> {
  return new Map(Array.from(map, ([key, value]) => [rename(key), value]))
}
