import fc from "fast-check"
import { expect, test } from "vitest"
import { Versions } from "../../../tiers/l1/versions.ts"

const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length })

const version = fc.oneof(
  hex(48),
  hex(32),
  hex(8),
  hex(2),
  hex(50),
  // Almost of that form, or of another one: the versions of Firestore, of Azure Tables and of rows of other clients.
  hex(48).map((text) => text.toUpperCase()),
  hex(56),
  hex(31),
  hex(47).map((text) => `${text}é`),
  hex(47).map((text) => `${text}\u{1f30}`),
  fc.string({ minLength: 1, maxLength: 120 }),
  fc.constantFrom("", "1700000000.123456789", "W/\"datetime'2024-01-01T00%3A00%3A00.0000000Z'\""),
)

test("versions of any form come back as they went in, from slots used again and grown", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 300 }), version), { maxLength: 80 }), (sets) => {
      const versions = new Versions(301)
      const model = new Map<number, string>()
      for (const [slot, text] of sets) {
        versions.set(slot, text)
        model.set(slot, text)
      }
      for (const [slot, text] of model) expect(versions.get(slot)).toBe(text)
    }),
    { numRuns: 1_000 },
  )
})
