import type { Backend, KeyedEntry, MaybePromise, StoredEntry, Write } from "../tiers/backend.ts"

/**
 * Units that a service bills, computed from what it answered, by its published rules. At least so many: what an expired row
 * that still lies there costs, a failed condition, or a larger row that is overwritten, does not show in the answer.
 *
 * | service | a read | a page | a write | a delete |
 * | --- | --- | --- | --- | --- |
 * | DynamoDB, on demand | each 4 KiB of the row begun; nothing there: 1 | each 4 KiB of its rows together begun | each KiB of the row begun | a write of 1 |
 * | Firestore | a document; nothing there: 1 | its documents; none: 1 | a document | a document, billed apart |
 */
export interface Capacity {
  read: number
  write: number
  /** Only where deletes are billed apart from writes. */
  delete?: number
}

interface Tariff {
  readonly billsDeletesApart: boolean
  readUnits(key: string, entry: StoredEntry | undefined): number
  pageUnits(entries: readonly KeyedEntry[]): number
  writeUnits(key: string, write: Write): number
}

const READ_UNIT_BYTES = 4_096
const WRITE_UNIT_BYTES = 1_024
/** Names and values of a row's `pk` (`bucket_NN`), `sk`, `value` and `version` (32 digits), without key and value. */
const ROW_BYTES = 2 + 9 + 2 + 5 + 7 + 32
/** The same of `ttl` and `exp`: a number takes a byte, and one for every two digits. */
const EXPIRY_BYTES = 3 + 6 + 3 + 8

const dynamodb: Tariff = {
  billsDeletesApart: false,
  readUnits: (key, entry) => (entry === undefined ? 1 : units(rowBytes(key, entry), READ_UNIT_BYTES)),
  pageUnits(entries) {
    const bytes = entries.reduce((sum, entry) => sum + rowBytes(entry.key, entry), 0)
    return units(bytes, READ_UNIT_BYTES)
  },
  writeUnits: (key, write) => units(rowBytes(key, write), WRITE_UNIT_BYTES),
}

const firestore: Tariff = {
  billsDeletesApart: true,
  readUnits: () => 1,
  pageUnits: (entries) => Math.max(1, entries.length),
  writeUnits: () => 1,
}

const TARIFFS: Readonly<Record<string, Tariff>> = { dynamodb, firestore }

function rowBytes(key: string, { value, expiresAt }: { value: Uint8Array; expiresAt?: number }): number {
  return ROW_BYTES + key.length + value.length + (expiresAt === undefined ? 0 : EXPIRY_BYTES)
}

function units(bytes: number, unitBytes: number): number {
  return Math.max(1, Math.ceil(bytes / unitBytes))
}

/** What nothing has been read from or written to yet; `undefined` where the service bills by no units that show in answers. */
export function capacityOf({ traits }: Backend): Capacity | undefined {
  const tariff = TARIFFS[traits.kind]
  return tariff && { read: 0, write: 0, ...(tariff.billsDeletesApart ? { delete: 0 } : {}) }
}

/** `backend`, the units of every answer added to `capacity`. Goes below whatever tries again. */
export function metered(backend: Backend, capacity: Capacity): Backend {
  const tariff = TARIFFS[backend.traits.kind]
  if (tariff === undefined) return backend
  const read = (count: number) => {
    capacity.read += count
  }
  const write = (count: number) => {
    capacity.write += count
  }
  const remove = (count: number) => {
    if (capacity.delete === undefined) capacity.write += count
    else capacity.delete += count
  }
  const { compareVersions } = backend
  return {
    traits: backend.traits,
    open: () => backend.open(),
    close: () => backend.close(),
    ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(backend) }),

    get: (key) => after(backend.get(key), (entry) => read(tariff.readUnits(key, entry))),
    getMany: (keys) =>
      after(backend.getMany(keys), (found) => {
        for (const key of keys) {
          const entry = found.get(key)
          if (!(entry instanceof Error)) read(tariff.readUnits(key, entry))
        }
      }),
    exists: (key) => after(backend.exists(key), () => read(tariff.readUnits(key, undefined))),
    wasWrittenBy: async (key, id) =>
      after(backend.wasWrittenBy(key, id), () => read(tariff.readUnits(key, undefined))),
    scan: async (prefix, page) =>
      after(backend.scan(prefix, page), ({ entries }) => read(tariff.pageUnits(entries))),
    put: async (key, item) => after(backend.put(key, item), () => write(tariff.writeUnits(key, item))),
    putMany: async (writes) =>
      after(backend.putMany(writes), (results) => {
        for (const [key, item] of writes) {
          if (!(results.get(key) instanceof Error)) write(tariff.writeUnits(key, item))
        }
      }),
    delete: async (key, removal) => after(backend.delete(key, removal), () => remove(1)),
    deleteMany: async (removals) =>
      after(backend.deleteMany(removals), (results) => {
        for (const result of results.values()) if (!(result instanceof Error)) remove(1)
      }),
  }
}

/** `answer`, told to `hear` once it is there. */
function after<T>(answer: MaybePromise<T>, hear: (value: T) => void): MaybePromise<T> {
  if (!(answer instanceof Promise)) {
    hear(answer)
    return answer
  }
  answer.then(hear, () => {})
  return answer
}
