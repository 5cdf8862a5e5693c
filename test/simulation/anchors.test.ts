import { describe, expect, test } from "vitest"
import { find, replaced } from "./anchors.ts"

const TEXT = `
class Tier {
  #flights = new Map()
  land(flight, key) {
    if (flight.dirty ||
        this.#flights.get(key) !== flight) return
    this.#flights.delete(key)
  }
  clear(key) {
    this.#flights.delete(key)
  }
}
`
const TREE = { "tier.ts": TEXT, "other.ts": "class Other { land() {} }" }

describe("an anchor", () => {
  test("is found whatever its variables are called and its lines broken", () => {
    const found = find(["Tier.land", "if ($read.dirty || $all.get($name) !== $read) return"], TREE)
    expect(found).toMatchObject({
      file: "tier.ts",
      names: { read: "flight", all: "this.#flights", name: "key" },
    })
    expect(TEXT.slice(found.start, found.end)).toMatch(/^if \(.*return$/s)
  })

  test("is looked for in its method alone", () => {
    const at = (method: string) => find([method, "$all.delete($key)"], TREE).start
    expect(at("Tier.land")).toBeLessThan(at("Tier.clear"))
  })

  test.each([
    ["of a method that is not there", ["Tier.drop", "$all.delete($key)"], "there are 0 methods Tier.drop"],
    ["of code that is not there", ["Tier.clear", "$all.clear()"], "has this code 0 times"],
    ["of code that is there twice", ["Tier.land", "$all"], "times: $all"],
    ["of code that only ends like it", ["Tier.land", "irty"], "has this code 0 times"],
    ["whose name stands for two things", ["Tier.land", "$key.delete($key)"], "has this code 0 times"],
  ] as const)("%s is stale", (_, anchor, message) => {
    expect(() => find(anchor, TREE)).toThrow(message)
    expect(() => find(anchor, TREE)).toThrow("stale anchor")
  })
})

describe("edits at anchors", () => {
  test("put in what each name stands for, in any order of the edits", () => {
    const check = find(["Tier.land", "if ($read.dirty || $all.get($key) !== $read) return"], TREE)
    const deletion = find(["Tier.land", "$all.delete($key)"], TREE)
    const edited = replaced(TEXT, [
      [check, "if ($all.has($key)) return"],
      [deletion, "$all.set($key, 1)"],
    ])
    expect(edited).toContain("if (this.#flights.has(key)) return\n    this.#flights.set(key, 1)")
    expect(edited).toContain("clear(key) {\n    this.#flights.delete(key)")
  })

  test("that overlap are an error", () => {
    const whole = find(["Tier.clear", "$all.delete($key)"], TREE)
    const part = find(["Tier.clear", "delete($key)"], TREE)
    expect(() =>
      replaced(TEXT, [
        [whole, ""],
        [part, ""],
      ]),
    ).toThrow("overlap")
  })
})
