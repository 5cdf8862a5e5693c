import fc from "fast-check"
import { LRUCache } from "lru-cache"
import { describe, expect, test } from "vitest"
import { LruSlots, NONE } from "../../../tiers/l1/lru-slots.ts"

const keys = fc.integer({ min: 0, max: 40 }).map((key) => `key:${key}`)
const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constant("add" as const), keys) },
    { weight: 3, arbitrary: fc.tuple(fc.constant("use" as const), keys) },
    { weight: 2, arbitrary: fc.tuple(fc.constant("remove" as const), keys) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("clear" as const), keys) },
  ),
  { maxLength: 200, size: "max" },
)

function add(slots: LruSlots, max: number, key: string): void {
  const slot = slots.find(key)
  if (slot !== NONE) slots.touch(slot)
  else {
    if (slots.size === max) slots.remove(slots.oldest)
    slots.add(key)
  }
}

/** The keys, the least recently used first. Empties `slots`. */
function drained(slots: LruSlots): string[] {
  const order: string[] = []
  while (slots.size > 0) {
    const { oldest } = slots
    order.push(slots.keyOf(oldest))
    slots.remove(oldest)
  }
  return order
}

describe("keys in slots", () => {
  test("the order of use is that of lru-cache, whatever is added, used, removed and cleared", () => {
    fc.assert(
      fc.property(steps, fc.constantFrom(1, 2, 7, 20, 100), (steps, max) => {
        const slots = new LruSlots(max)
        const model = new LRUCache<string, true>({ max })
        for (const [what, key] of steps) {
          const slot = slots.find(key)
          if ((slot !== NONE) !== model.has(key)) expect.unreachable(`${key} is in slot ${slot}`)
          if (what === "add") {
            add(slots, max, key)
            model.set(key, true)
          } else if (what === "use" && slot !== NONE) {
            slots.touch(slot)
            model.get(key)
          } else if (what === "remove" && slot !== NONE) {
            slots.remove(slot)
            model.delete(key)
          } else if (what === "clear" && key === "key:0") {
            slots.clear()
            model.clear()
          }
          if (slots.size !== model.size) expect.unreachable(`${slots.size} keys, not ${model.size}`)
        }
        expect(drained(slots)).toEqual([...model.rkeys()])
      }),
      { numRuns: 1_000 },
    )
  })

  test("with many maps as with one", () => {
    fc.assert(
      fc.property(steps, (steps) => {
        const [one, many] = [new LruSlots(100), new LruSlots(1_000_000_000)]
        for (const [what, key] of steps) {
          for (const slots of [one, many]) {
            const slot = slots.find(key)
            if (what === "add") add(slots, 100, key)
            else if (what === "remove" && slot !== NONE) slots.remove(slot)
            else if (slot !== NONE) slots.touch(slot)
          }
        }
        expect(drained(many)).toEqual(drained(one))
      }),
      { numRuns: 300 },
    )
  })

  test("a key that is no string is found nowhere", () => {
    for (const key of [null, undefined, 7, {}]) {
      for (const max of [10, 1_000_000]) expect(new LruSlots(max).find(key as never)).toBe(NONE)
    }
  })

  test("slots are numbered from 1 and used again before new ones are taken", () => {
    const slots = new LruSlots(1_000)
    for (let key = 1; key <= 100; key++) expect(slots.add(String(key))).toBe(key)
    for (let key = 1; key <= 100; key += 2) slots.remove(key)
    for (let key = 0; key < 50; key++) expect(slots.add(`new:${key}`)).toBeLessThanOrEqual(100)
    expect([slots.size, slots.highest]).toEqual([100, 100])
    expect(slots.add("one more")).toBe(101)
  })
})
