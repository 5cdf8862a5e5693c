/**
 * The limits that hold on every backend, and the defaults of the options that more than one file reads. A default that
 * one backend alone has stands in its folder.
 */

/** Longest key and longest prefix, bytes. Below the services' own limits: DynamoDB 1,024, Azure 1,024, Firestore 1,500. */
export const MAX_KEY_BYTES = 512
const KEY_CHARACTERS = "A-Za-z0-9\\-_:."
export const KEY_FORM = new RegExp(`^[${KEY_CHARACTERS}]{1,${MAX_KEY_BYTES}}$`)
export const PREFIX_FORM = new RegExp(`^[${KEY_CHARACTERS}]{0,${MAX_KEY_BYTES}}$`)
/** The first character of a text that no key may hold. */
export const ILLEGAL_IN_KEY = new RegExp(`[^${KEY_CHARACTERS}]`)

/** Longest name of a store, characters. */
export const MAX_NAME_LENGTH = 64
export const NAME_FORM = new RegExp(`^[A-Za-z0-9\\-_]{1,${MAX_NAME_LENGTH}}$`)

/** Largest value, bytes encoded: what base64 brings to the 32,768 characters of an Azure Tables property. */
export const MAX_VALUE_BYTES = 24_576

/** Shortest time to live, ms. */
export const MIN_TTL_MS = 1
/** The last millisecond of the year 9999, Unix ms: the latest time that every backend's timestamps can hold. */
export const LATEST_EXPIRY = 253_402_300_799_999

/** Entries in one page of a scan, at most. */
export const MAX_PAGE_LIMIT = 1_000

export const DEFAULTS = {
  l1: { maxEntries: 10_000, maxBytes: 64 * 1024 * 1024, ttlMs: 5_000, negativeTtlMs: 1_000, jitter: 0.1 },
  /** Time of a call to the backend, all of its attempts included. */
  timeoutMs: 5_000,
  /** Time of one request of a backend over a network. */
  requestTimeoutMs: 3_000,
  quarantineMs: 30_000,
  pageLimit: 500,
} as const
