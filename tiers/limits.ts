/**
 * The limits that hold on every backend, and the defaults of options that several files read. A default of one backend is in the folder
 * of that backend.
 */

/** Longest key and longest prefix, bytes. The limits of the services are higher: DynamoDB 1,024, Azure 1,024, Firestore 1,500. */
export const MAX_KEY_BYTES = 512
const KEY_CHARACTERS = "A-Za-z0-9\\-_:."
export const KEY_FORM = new RegExp(`^[${KEY_CHARACTERS}]{1,${MAX_KEY_BYTES}}$`)
export const PREFIX_FORM = new RegExp(`^[${KEY_CHARACTERS}]{0,${MAX_KEY_BYTES}}$`)
/** The first character of a text that no key may hold. */
export const ILLEGAL_IN_KEY = new RegExp(`[^${KEY_CHARACTERS}]`)

/** Longest name of a store, characters. */
export const MAX_NAME_LENGTH = 64
export const NAME_FORM = new RegExp(`^[A-Za-z0-9\\-_]{1,${MAX_NAME_LENGTH}}$`)

/** Largest value, bytes: in base64 it fills the 32,768 characters of an Azure Tables property. */
export const MAX_VALUE_BYTES = 24_576

/** Shortest time to live, ms. */
export const MIN_TTL_MS = 1
/** Latest expiry, Unix ms: the last millisecond of the year 9999, the latest that the timestamps of every service can represent. */
export const LATEST_EXPIRY = 253_402_300_799_999

/** Maximum number of entries in one page of a scan. */
export const MAX_PAGE_LIMIT = 1_000

/** Largest `maxEntries` of L1. With one slot more, V8 would turn the arrays of L1 into hash tables, which are slow. */
export const MAX_L1_ENTRIES = 2 ** 25 - 1

export const DEFAULTS = {
  l1: { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024, ttlMs: 5_000, negativeTtlMs: 1_000, jitter: 0.1 },
  /** The time to live of L1 in a store with a bus, ms. */
  busTtlMs: 60_000,
  /** Longest time of a call to a backend over a network, all attempts included, ms. LMDB takes that of a write. */
  timeoutMs: { read: 2_000, write: 5_000, scan: 10_000 },
  /** The retries of such a call. With these it waits 0.8 s between its attempts on average, 1.6 s at most. */
  maxAttempts: 6,
  backoffBaseMs: 50,
  backoffMaxMs: 1_000,
  /** The share of the calls within 10 s that may be retries. */
  retryBudget: 0.1,
  /** Requests of a store to a backend over a network that are open at once, and calls that wait for one of them. */
  maxConcurrency: 256,
  maxQueue: 10_000,
  /** Longest time of one request of a backend over a network, ms. */
  requestTimeoutMs: 3_000,
  quarantineMs: 30_000,
  pageLimit: 500,
} as const
