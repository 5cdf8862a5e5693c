import fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  applied,
  compareVersions,
  decodeHead,
  encodeRow,
  isReserved,
  liveEntry,
  parseVersion,
  toDocumentId,
  toKey,
} from "../../../tiers/firestore/row.ts"
import { toDocument } from "../../../tiers/firestore/wire.ts"

const keyOf = (characters: string, most: number) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength: 1, maxLength: most })
/** Any legal key, reserved ones often. */
const keys = fc.oneof(keyOf("aZ9-_:.", 20), keyOf("._", 6), keyOf("_x", 8))
const ids = fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 32, maxLength: 32 })
const times = fc.record({
  seconds: fc.integer({ min: 1_000_000_000, max: 9_999_999_999 }),
  nanos: fc.integer({ min: 0, max: 999_999 }).map((micros) => micros * 1_000),
})
const expiries = fc.option(fc.integer({ min: 1, max: 253_402_300_799_999 }), { nil: undefined })

describe("document ids", () => {
  test("are legal, lead back to their keys, and keep these apart", () => {
    fc.assert(
      fc.property(keys, keys, (one, other) => {
        const id = toDocumentId(one)
        expect(isReserved(id)).toBe(false)
        expect(toKey(id)).toBe(one)
        expect(id === toDocumentId(other)).toBe(one === other)
      }),
    )
  })

  test.each(["~a", "~~.", "a b", "é", "", `${"x".repeat(513)}`])("%s belongs to no key", (id) => {
    expect(toKey(id)).toBeUndefined()
  })
})

describe("rows", () => {
  test("come back as they were written, whatever the bytes", () => {
    const values = fc.uint8Array({ maxLength: 100 })
    fc.assert(
      fc.property(values, ids, times, expiries, (value, id, updateTime, expiresAt) => {
        const write = { value, id, ...(expiresAt === undefined ? {} : { expiresAt }) }
        const document = { id: "any", fields: encodeRow(write, 1_700_000_000_000), updateTime }
        const entry = liveEntry(document, 0)
        const { version } = applied(write, updateTime)
        expect(entry).toEqual({ value, version, ...(expiresAt === undefined ? {} : { expiresAt }) })
        expect(decodeHead(document).writeId).toBe(id)
        expect(liveEntry(document, (expiresAt ?? 0) - 1)).toBeDefined()
        expect(liveEntry(document, expiresAt ?? 0) === undefined).toBe(expiresAt !== undefined)
      }),
    )
  })

  test("of a bytes field are a copy: the SDK's buffer may be a view of what else came in", () => {
    const received = Uint8Array.of(1, 2, 3)
    const entry = liveEntry(
      { id: "any", fields: { value: received }, updateTime: { seconds: 1, nanos: 0 } },
      0,
    )
    received.fill(9)
    expect(entry?.value).toEqual(Uint8Array.of(1, 2, 3))
  })

  test("are read off the wire by type: null is no value, and other types are kept apart from absent ones", () => {
    const { fields } = toDocument({
      name: "projects/p/databases/d/documents/rows/key",
      fields: { value: { stringValue: "" }, expires_at: { nullValue: "NULL_VALUE" }, version: {} },
      updateTime: { seconds: "1", nanos: 0 },
    })
    expect(fields).toEqual({ value: "", expires_at: undefined, version: null })
  })
})

describe("versions", () => {
  test("are visible ASCII, say what they were made of, and come in the order of the writes", () => {
    fc.assert(
      fc.property(times, times, ids, ids, expiries, (one, other, id, otherId, expiresAt) => {
        const version = applied({ id, ...(expiresAt === undefined ? {} : { expiresAt }) }, one).version ?? ""
        expect(version).toMatch(/^[\x21-\x7e]{1,120}$/)
        expect(parseVersion(version)).toEqual({ updateTime: one, expiresAt })
        const byTime = one.seconds - other.seconds || one.nanos - other.nanos
        const compared = compareVersions(version, applied({ id: otherId }, other).version ?? "")
        if (byTime !== 0) expect(Math.sign(compared)).toBe(Math.sign(byTime))
      }),
    )
  })

  test.each(["", "0", "1795376164.945485000", "1795376164.945485000-x-", "1795376164.945485000---"])(
    "%s is none",
    (version) => {
      expect(parseVersion(version)).toBeUndefined()
    },
  )
})
