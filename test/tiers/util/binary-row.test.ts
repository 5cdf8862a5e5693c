import fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  CorruptRow,
  compareVersions,
  decodeRow,
  encodeRow,
  isLiveRow,
  makeVersion,
  ROW_HEADER_BYTES,
  type Row,
  rowExpiry,
  rowId,
  rowVersion,
  setRowSequence,
} from "../../../tiers/util/binary-row.ts"

const id = fc.stringMatching(/^[0-9a-f]{32}$/)
const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const instant = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const row: fc.Arbitrary<Row> = fc
  .record({
    value: fc.uint8Array({ maxLength: 200 }),
    id,
    sequence,
    expiresAt: fc.option(instant, { nil: undefined }),
  })
  .map(({ expiresAt, ...rest }) => (expiresAt === undefined ? rest : { ...rest, expiresAt }))

const NEVER = -1

describe("row", () => {
  test("comes back as it was encoded", () => {
    fc.assert(
      fc.property(row, (written) => {
        const bytes = encodeRow(written)
        expect(decodeRow(bytes, NEVER)).toEqual({
          value: new Uint8Array(written.value),
          version: makeVersion(written.sequence, written.id),
          ...(written.expiresAt === undefined ? {} : { expiresAt: written.expiresAt }),
        })
        expect(rowId(bytes)).toBe(written.id)
        expect(rowExpiry(bytes)).toBe(written.expiresAt)
      }),
    )
  })

  test("has the bytes that its layout says", () => {
    const bytes = encodeRow({
      value: Uint8Array.of(0xaa, 0xbb),
      id: "000102030405060708090a0b0c0d0e0f",
      sequence: 2 ** 40 + 3,
      expiresAt: 1_700_000_000_123,
    })
    expect(bytes.toString("hex")).toBe(
      "fe6b0101" +
        "0000010000000003" +
        "000102030405060708090a0b0c0d0e0f" +
        "0000018bcfe5687b" +
        "00000002" +
        "aabb",
    )
    const plain = encodeRow({ value: new Uint8Array(), id: "f".repeat(32), sequence: 1 })
    expect(plain.toString("hex")).toBe(`fe6b0100${"0000000000000001"}${"f".repeat(32)}${"0".repeat(24)}`)
    expect(plain).toHaveLength(ROW_HEADER_BYTES)
  })

  test("is live until the millisecond of its expiry", () => {
    fc.assert(
      fc.property(row, instant, (written, now) => {
        const bytes = encodeRow(written)
        const live = written.expiresAt === undefined || written.expiresAt > now
        expect(isLiveRow(bytes, now)).toBe(live)
        expect(decodeRow(bytes, now) !== undefined).toBe(live)
      }),
    )
    const bytes = encodeRow({ value: new Uint8Array(1), id: "0".repeat(32), sequence: 1, expiresAt: 1_000 })
    expect([999, 1_000, 1_001].map((now) => isLiveRow(bytes, now))).toEqual([true, false, false])
  })

  test("gives its value as a copy, of a view that is longer inside, too", () => {
    const bytes = encodeRow({ value: Uint8Array.of(1, 2, 3), id: "0".repeat(32), sequence: 1 })
    const lent = Buffer.alloc(4_096, 0xee)
    bytes.copy(lent)
    Object.defineProperty(lent, "length", { value: bytes.length, writable: true, configurable: true })
    const entry = decodeRow(lent, NEVER)
    lent.fill(9)
    expect(entry?.value).toEqual(Uint8Array.of(1, 2, 3))
  })

  test("can be given its sequence after it was encoded", () => {
    const bytes = encodeRow({ value: new Uint8Array(), id: "a".repeat(32), sequence: 0 })
    setRowSequence(bytes, Number.MAX_SAFE_INTEGER)
    expect(rowVersion(bytes)).toBe(makeVersion(Number.MAX_SAFE_INTEGER, "a".repeat(32)))
  })

  test("orders versions by sequence", () => {
    fc.assert(
      fc.property(sequence, sequence, id, id, (a, b, idOfA, idOfB) => {
        fc.pre(a !== b)
        expect(Math.sign(compareVersions(makeVersion(a, idOfA), makeVersion(b, idOfB)))).toBe(
          Math.sign(a - b),
        )
        expect(compareVersions(makeVersion(a, idOfA), makeVersion(a, idOfA))).toBe(0)
      }),
    )
  })

  test("refuses an id that is not 32 hex digits", () => {
    for (const wrong of ["", "abc", "z".repeat(32), "0".repeat(31)]) {
      expect(() => encodeRow({ value: new Uint8Array(), id: wrong, sequence: 1 })).toThrow(TypeError)
    }
  })
})

describe("a damaged row", () => {
  test("cut short or grown anywhere is corrupt", () => {
    fc.assert(
      fc.property(row, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 9 }), (written, cut, more) => {
        const bytes = encodeRow(written)
        expect(() => decodeRow(bytes.subarray(0, cut % bytes.length), NEVER)).toThrow(CorruptRow)
        expect(() => decodeRow(Buffer.concat([bytes, more]), NEVER)).toThrow(CorruptRow)
      }),
    )
  })

  test("with another magic, format, flag or length is corrupt", () => {
    fc.assert(
      fc.property(
        row,
        fc.constantFrom(0, 1, 2, 3, 36, 37, 38, 39),
        fc.integer({ min: 1, max: 255 }),
        (written, at, mask) => {
          const bytes = encodeRow(written)
          bytes.writeUInt8(bytes.readUInt8(at) ^ mask, at)
          expect(() => decodeRow(bytes, NEVER)).toThrow(CorruptRow)
          expect(() => isLiveRow(bytes, NEVER)).toThrow(CorruptRow)
        },
      ),
    )
  })

  test("with a reserved flag is corrupt", () => {
    for (let flag = 2; flag < 256; flag *= 2) {
      const bytes = encodeRow({ value: new Uint8Array(3), id: "0".repeat(32), sequence: 1, expiresAt: 5 })
      bytes[3] = flag | 1
      expect(() => rowExpiry(bytes)).toThrow(CorruptRow)
    }
  })

  test("with an expiry that its flag denies, or a flag without an expiry, is corrupt", () => {
    const bytes = encodeRow({ value: new Uint8Array(3), id: "0".repeat(32), sequence: 1, expiresAt: 5 })
    bytes[3] = 0
    expect(() => rowExpiry(bytes)).toThrow(CorruptRow)
    const plain = encodeRow({ value: new Uint8Array(3), id: "0".repeat(32), sequence: 1 })
    plain[3] = 1
    expect(() => rowExpiry(plain)).toThrow(CorruptRow)
  })

  test("says what is wrong, and nothing of the value", () => {
    expect(() => decodeRow(Buffer.from("a secret, stored by someone else, without a header"), 0)).toThrow(
      "the row does not begin as one",
    )
    const newer = encodeRow({ value: new Uint8Array(), id: "0".repeat(32), sequence: 1 })
    newer[2] = 2
    expect(() => decodeRow(newer, 0)).toThrow("the row is of format 2, this release reads format 1")
  })
})
