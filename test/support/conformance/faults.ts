import type { Backend, RowHead, StoredEntry } from "../../../tiers/backend.ts"
import { KvError } from "../../../tiers/errors.ts"
import { type MemoryStore, memory } from "../../../tiers/memory.ts"
import type { Runtime } from "../../../tiers/runtime.ts"
import { wasWrittenBy } from "../heads.ts"

/** Makes a sound backend wrong in one way. */
export type Fault = (sound: Backend, store: MemoryStore, runtime: Runtime) => Partial<Backend>

const late = (sound: Backend): Promise<Backend> =>
  new Promise((resolve) => setImmediate(() => resolve(sound)))

/** Each fault, with a case that has to catch it. Other cases may catch it too. */
export const FAULTS: Record<string, { caughtBy: string; fault: Fault }> = {
  "a clock a millisecond late": {
    caughtBy: "expiry: exact to the millisecond for every read",
    fault: (_, store, runtime) => ({
      ...memory({ store, runtime: { ...runtime, now: () => runtime.now() - 1 } }),
    }),
  },
  "expiry in whole seconds": {
    caughtBy: "expiry: the millisecond written comes back, far ones, too",
    fault: (sound) => ({
      put: (key, { expiresAt, ...write }) =>
        sound.put(
          key,
          expiresAt === undefined ? write : { ...write, expiresAt: Math.ceil(expiresAt / 1_000) * 1_000 },
        ),
    }),
  },
  "an expiry that a write does not clear": {
    caughtBy: "expiry: a write without one clears one",
    fault: (sound) => ({
      async put(key, write) {
        const before = (await sound.get(key))?.expiresAt
        return sound.put(key, before === undefined ? write : { expiresAt: before, ...write })
      },
    }),
  },
  "a read that removes what it finds expired, too late": {
    caughtBy: "expiry: removing an expired row never removes what was written meanwhile",
    fault: (sound, store) => ({
      async get(key) {
        const entry = await sound.get(key)
        if (entry === undefined && store.rows.has(key)) {
          await late(sound)
          store.rows.delete(key)
        }
        return entry
      },
    }),
  },
  "a takeover in two steps": {
    caughtBy: "expiry: one of many writers takes an expired row over",
    fault: (sound) => ({
      async put(key, { condition, ...write }) {
        if (condition === undefined || !("absent" in condition)) {
          return sound.put(key, condition === undefined ? write : { ...write, condition })
        }
        if (await sound.exists(key)) return { applied: await wasWrittenBy(sound, key, write.id) }
        return (await late(sound)).put(key, write)
      },
    }),
  },
  "an expired row that counts as present": {
    caughtBy: "expiry: exact for put if absent",
    fault: (sound, store) => ({
      put: async (key, write) =>
        write.condition !== undefined && "absent" in write.condition && store.rows.has(key)
          ? { applied: store.rows.get(key)?.id === write.id }
          : sound.put(key, write),
    }),
  },
  "a condition ignored": {
    caughtBy: "conditions: put if absent writes where nothing is, and only there",
    fault: (sound) => ({ put: (key, { condition: _, ...write }) => sound.put(key, write) }),
  },
  "a condition on a delete ignored": {
    caughtBy: "conditions: delete if version removes that version alone",
    fault: (sound) => ({ delete: (key, { id }) => sound.delete(key, { id }) }),
  },
  "a retry that does not know its own row": {
    caughtBy: "delivery: a create sent twice is applied, once",
    fault: (sound, _, runtime) => ({ put: (key, write) => sound.put(key, { ...write, id: runtime.id() }) }),
  },
  "a delete of nothing that is not applied": {
    caughtBy: "entries: an unconditional delete of nothing is applied",
    fault: (sound) => ({
      delete: async (key, removal) =>
        (await sound.exists(key)) ? sound.delete(key, removal) : { applied: false },
    }),
  },
  "a probe that keeps what it read": {
    caughtBy: "delivery: the row carries the id of the write that left it",
    fault(sound) {
      const kept = new Map<string, RowHead | KvError>()
      return {
        async probe(keys) {
          for (const [key, head] of await sound.probe(keys)) kept.set(key, kept.get(key) ?? head)
          return new Map([...kept].filter(([key]) => keys.includes(key)))
        },
      }
    },
  },
  "a probe that does not look at expired rows": {
    caughtBy: "delivery: an expired row still carries its id",
    fault: (sound) => ({
      async probe(keys) {
        const heads = await sound.probe(keys)
        return new Map([...heads].filter(([, head]) => head instanceof KvError || head.live))
      },
    }),
  },
  "a probe that takes every row for a live one": {
    caughtBy: "delivery: an expired row still carries its id",
    fault: (sound) => ({
      async probe(keys) {
        const heads = await sound.probe(keys)
        return new Map(
          Array.from(heads, ([key, head]) => [key, head instanceof KvError ? head : { ...head, live: true }]),
        )
      },
    }),
  },
  "versions made from the value": {
    caughtBy: "versions: new on every write, of the same value, too, and after a delete",
    fault: (sound) => ({
      async get(key) {
        const entry = await sound.get(key)
        return entry && { ...entry, version: `v${Buffer.from(entry.value).toString("hex").slice(0, 40)}` }
      },
    }),
  },
  "versions in the wrong order": {
    caughtBy: "versions: ordered as the writes were, over processes, deletes and expiries",
    fault: (sound) => ({ compareVersions: (a, b) => sound.compareVersions?.(b, a) ?? 0 }),
  },
  "an array that is shared with who reads": {
    caughtBy: "entries: changing an array that was given back changes nothing",
    fault: (sound, store) => ({
      async get(key) {
        const entry = await sound.get(key)
        return entry && { ...entry, value: store.rows.get(key)?.value ?? entry.value }
      },
    }),
  },
  "an array that is shared with who writes": {
    caughtBy: "entries: changing an array that was passed in changes nothing",
    fault: (sound, store) => ({
      async put(key, write) {
        const result = await sound.put(key, write)
        const row = store.rows.get(key)
        if (row !== undefined) store.rows.set(key, { ...row, value: write.value })
        return result
      },
    }),
  },
  "keys without regard to case": {
    caughtBy: "entries: every legal key holds an entry of its own",
    fault: (sound) => ({
      get: (key) => sound.get(key.toLowerCase()),
      put: (key, write) => sound.put(key.toLowerCase(), write),
      delete: (key, removal) => sound.delete(key.toLowerCase(), removal),
    }),
  },
  "text instead of bytes": {
    caughtBy: "entries: bytes that are not text come back exactly",
    fault: (sound) => ({
      put: (key, write) =>
        sound.put(key, { ...write, value: Buffer.from(Buffer.from(write.value).toString()) }),
    }),
  },
  "an empty value that is absent": {
    caughtBy: "entries: an empty value comes back empty",
    fault: (sound) => ({
      async get(key) {
        const entry = await sound.get(key)
        return entry?.value.length === 0 ? undefined : entry
      },
    }),
  },
  "a process that keeps what it read": {
    caughtBy: "entries: what one process wrote or deleted, another sees at once",
    fault(sound) {
      const kept = new Map<string, StoredEntry | undefined>()
      return {
        async get(key) {
          if (!kept.has(key)) kept.set(key, await sound.get(key))
          return kept.get(key)
        },
      }
    },
  },
  "a batch paired by index": {
    caughtBy: "batches: getMany pairs values and keys, absent ones among them",
    fault: (sound) => ({
      async getMany(keys) {
        const entries = [...(await sound.getMany(keys)).values()]
        return new Map(entries.flatMap((entry, index) => [[keys[index] ?? "", entry] as const]))
      },
    }),
  },
  "a batch of which the end is dropped": {
    caughtBy: "batches: putMany of as many entries as a batch holds",
    fault: (sound) => ({ putMany: (writes) => sound.putMany(new Map([...writes].slice(0, 100))) }),
  },
  "a prefix that is a pattern": {
    caughtBy: "scans: every prefix finds the keys that start with it, and no others",
    fault: (sound) => ({
      async scan(prefix, page) {
        const all = await sound.scan("", { limit: 1_000 })
        const pattern = new RegExp(`^${prefix}`)
        return prefix.includes(".")
          ? { entries: all.entries.filter(({ key }) => pattern.test(key)).slice(0, page.limit) }
          : sound.scan(prefix, page)
      },
    }),
  },
  "a scan of the first page alone": {
    caughtBy: "scans: pages of any size give every key once",
    fault: (sound) => ({
      scan: async (prefix, page) => ({ entries: (await sound.scan(prefix, page)).entries }),
    }),
  },
  "a scan that goes by position": {
    caughtBy: "scans: a key that is there throughout comes once, whatever is written meanwhile",
    fault: (sound) => ({
      async scan(prefix, { limit, cursor = "0" }) {
        const { entries } = await sound.scan(prefix, { limit: 1_000 })
        const end = Number(cursor) + limit
        const page = entries.slice(Number(cursor), end)
        return end < entries.length ? { entries: page, next: String(end) } : { entries: page }
      },
    }),
  },
  "a foreign cursor that starts anew": {
    caughtBy: "scans: a cursor that no scan gave is INVALID_CURSOR",
    fault: (sound) => ({
      scan: (prefix, page) =>
        sound.scan(prefix, page).catch((error: unknown) => {
          if (error instanceof KvError) return sound.scan(prefix, { limit: page.limit })
          throw error
        }),
    }),
  },
}
