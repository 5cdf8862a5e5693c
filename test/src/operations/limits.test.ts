import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { Kv, KvValue } from "../../../src/api.ts"
import { KvError, type KvErrorCode, kv } from "../../../src/index.ts"
import { gatedStore } from "../../support/gated-store.ts"

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_:."

/** Runs an illegal call, and checks that it rejects before any call to the backend. */
async function refused(call: (store: Kv) => unknown, code: KvErrorCode, message: RegExp): Promise<KvError> {
  const { client, gate } = await gatedStore()
  const error = await Promise.resolve()
    .then(() => call(client))
    .then(() => expect.unreachable("the call was not refused"))
    .catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(KvError)
  if (!(error instanceof KvError)) throw error
  expect(error).toMatchObject({ code, retryable: false })
  expect(error.message).toMatch(message)
  expect(error).not.toHaveProperty("backend")
  expect(gate.calls).toEqual([])
  expect(client.stats().l2).toMatchObject({ writes: 0, writeErrors: 0, readErrors: 0 })
  return error
}

const keyCalls: Record<string, (store: Kv, key: string) => unknown> = {
  get: (store, key) => store.get(key),
  getText: (store, key) => store.getText(key),
  getJson: (store, key) => store.getJson(key),
  getEntry: (store, key) => store.getEntry(key),
  getMany: (store, key) => store.getMany(["fine", key]),
  getManyText: (store, key) => store.getManyText(["fine", key]),
  getManyJson: (store, key) => store.getManyJson(["fine", key]),
  peek: (store, key) => store.peek(key),
  peekText: (store, key) => store.peekText(key),
  peekJson: (store, key) => store.peekJson(key),
  exists: (store, key) => store.exists(key),
  set: (store, key) => store.set(key, "1"),
  put: (store, key) => store.put(key, "1"),
  setMany: (store, key) =>
    store.setMany([
      ["fine", "1"],
      [key, "1"],
    ]),
  delete: (store, key) => store.delete(key),
  deleteMany: (store, key) => store.deleteMany(["fine", key]),
  getOrSet: (store, key) => store.getOrSet(key, () => 1),
}

describe("keys", () => {
  for (const [name, call] of Object.entries(keyCalls)) {
    test(`${name} refuses an illegal key before any request`, async () => {
      const error = await refused(
        (store) => call(store, "a b"),
        "INVALID_KEY",
        /1 to 512 .*A-Z a-z 0-9 - _ : \./,
      )
      expect(error).toMatchObject({ operation: name, key: "a b" })
      expect(error.message).not.toContain("a b")
    })
  }

  const illegal: Record<string, [key: string, message: RegExp]> = {
    "the empty key": ["", /empty/],
    "a space": ["a b", /U\+0020, at index 1/],
    "a slash": ["a/b", /U\+002F/],
    "a line feed at the end": ["a\n", /U\+000A/],
    "a NUL": ["\0", /U\+0000/],
    "a letter beyond ASCII": ["é", /U\+00E9/],
    "an emoji": ["🙂", /U\+1F642/],
    "a lone surrogate": ["\ud800", /U\+D800/],
    "~, which Firestore's escape needs": ["~", /U\+007E/],
    "513 bytes": ["a".repeat(513), /513 bytes/],
    "few characters but too many bytes": ["é".repeat(300), /600 bytes/],
  }
  for (const [name, [key, message]] of Object.entries(illegal)) {
    test(`refuse ${name}`, async () => {
      await refused((store) => store.set(key, "1"), "INVALID_KEY", message)
      await refused((store) => store.get(key), "INVALID_KEY", message)
    })
  }

  test("a key that is too long comes with limit and actual, in bytes", async () => {
    const error = await refused((store) => store.get("a".repeat(1_000)), "INVALID_KEY", /1000 bytes/)
    expect(error).toMatchObject({ limit: 512, actual: 1_000 })
  })

  test.each([[undefined], [null], [1], [{}], [["a"]], [Symbol("a")]])(
    "refuse %s, which is no string",
    async (key) => {
      await refused((store) => Reflect.apply(store.get, store, [key]), "INVALID_KEY", /not a string but/)
      await refused((store) => Reflect.apply(store.set, store, [key, "1"]), "INVALID_KEY", /not a string/)
    },
  )

  test.each([[undefined], ["user:1"], [7]])(
    "many keys are an iterable, and %s is none of keys",
    async (keys) => {
      for (const name of ["getMany", "getManyText", "getManyJson", "deleteMany", "setMany"] as const) {
        await refused((store) => Reflect.apply(store[name], store, [keys]), "INVALID_KEY", /iterable of/)
      }
    },
  )

  test("any 1 to 512 legal characters are a key, `.`, `..` and `__x__` among them", async () => {
    const { client } = await gatedStore()
    const legal = fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: 1, maxLength: 512 })
    await fc.assert(
      fc.asyncProperty(legal, async (key) => {
        await client.set(key, key)
        expect(await client.getText(key)).toBe(key)
        expect((await client.scanPage(key, { limit: 1 })).entries[0]?.key.startsWith(key)).toBe(true)
        expect(await client.delete(key)).toBe(true)
      }),
      { numRuns: 100, examples: [["."], [".."], ["__x__"], ["__"], ["-"], [":"], ["a".repeat(512)]] },
    )
  })

  test("every character that is not legal is refused", async () => {
    const { client, gate } = await gatedStore()
    const other = fc
      .string({ minLength: 1, maxLength: 4 })
      .filter((text) => !/^[A-Za-z0-9\-_:.]+$/.test(text))
    await fc.assert(
      fc.asyncProperty(other, async (key) => {
        await expect(client.get(key)).rejects.toMatchObject({ code: "INVALID_KEY" })
        await expect(client.set(key, "1")).rejects.toMatchObject({ code: "INVALID_KEY" })
      }),
      { numRuns: 200 },
    )
    expect(gate.count()).toBe(0)
  })

  test("one illegal key among many keeps all of them from being sent", async () => {
    await refused((store) => store.deleteMany(["a", "b", "?"]), "INVALID_KEY", /U\+003F/)
    const entries: [string, string][] = [
      ["a", "1"],
      ["?", "2"],
    ]
    await refused((store) => store.setMany(entries), "INVALID_KEY", /U\+003F/)
  })
})

describe("prefixes", () => {
  for (const name of ["scan", "scanPage"] as const) {
    const call = (store: Kv, prefix: string) =>
      name === "scan" ? store.scan(prefix).next() : store.scanPage(prefix)

    test(`${name} takes 0 to 512 bytes of the same characters`, async () => {
      const { client } = await gatedStore()
      for (const prefix of ["", "a", "..", "a".repeat(512)]) await call(client, prefix)
      const error = await refused(
        (store) => call(store, "a%"),
        "INVALID_KEY",
        /0 to 512 .*A-Z a-z 0-9 - _ : \./,
      )
      expect(error).toMatchObject({ operation: name })
      await refused((store) => call(store, "a".repeat(513)), "INVALID_KEY", /513 bytes/)
      await refused(
        (store) => Reflect.apply(store.scanPage, store, []),
        "INVALID_KEY",
        /prefix is not a string/,
      )
    })
  }
})

const valueCalls: Record<string, (store: Kv, value: KvValue) => unknown> = {
  set: (store, value) => store.set("a", value),
  put: (store, value) => store.put("a", value),
  setMany: (store, value) =>
    store.setMany([
      ["b", "fine"],
      ["a", value],
    ]),
}

describe("values", () => {
  const cycle: { self?: object } = {}
  cycle.self = cycle
  const throwing = {
    toJSON() {
      throw new Error("secret-4711")
    },
  }
  const illegal: Record<string, [value: unknown, message: RegExp]> = {
    undefined: [undefined, /undefined, which JSON cannot represent/],
    "a function": [() => 1, /a function/],
    "a symbol": [Symbol("s"), /a symbol/],
    "a BigInt": [1n, /BigInt/],
    "a BigInt within": [{ a: [1n] }, /BigInt/],
    "a cycle": [cycle, /cycle/],
    "a toJSON that throws": [throwing, /toJSON that throws/],
    NaN: [Number.NaN, /NaN, which JSON would turn into null/],
    Infinity: [Number.POSITIVE_INFINITY, /Infinity/],
    "a Map": [new Map([["secret-4711", 1]]), /Map.*store its contents/],
    "a Set": [new Set(["secret-4711"]), /Set/],
    "a promise": [Promise.resolve("secret-4711"), /Promise/],
    "a typed array other than Uint8Array": [new Uint16Array([1]), /stored from a Uint8Array/],
    "an ArrayBuffer": [new ArrayBuffer(1), /stored from a Uint8Array/],
    "a DataView": [new DataView(new ArrayBuffer(1)), /stored from a Uint8Array/],
    "text that UTF-8 cannot represent": ["secret-4711\ud800", /lone surrogate/],
    "text of 24,577 bytes": ["secret-4711".padEnd(24_577, "x"), /24577 bytes.*24576 \(24 KiB\)/],
    "text of fewer characters, but more bytes": ["é".repeat(12_289), /24578 bytes/],
    "24,577 bytes": [new Uint8Array(24_577), /24577 bytes/],
    "JSON of 24,577 bytes": [["x".repeat(24_573)], /24577 bytes/],
  }
  for (const [name, [value, message]] of Object.entries(illegal)) {
    for (const [operation, call] of Object.entries(valueCalls)) {
      test(`${operation} refuses ${name}`, async () => {
        const error = await refused((store) => call(store, value as KvValue), "INVALID_VALUE", message)
        expect(error).toMatchObject({ operation, key: "a" })
        expect(error.message).not.toContain("4711")
      })
    }
  }

  test("a value that is too large comes with limit and actual, in bytes encoded", async () => {
    const error = await refused((store) => store.set("a", "é".repeat(20_000)), "INVALID_VALUE", /40000/)
    expect(error).toMatchObject({ limit: 24_576, actual: 40_000 })
  })

  test("24,576 bytes are allowed, as text, bytes or JSON", async () => {
    const { client } = await gatedStore()
    for (const value of ["é".repeat(12_288), new Uint8Array(24_576), ["x".repeat(24_572)]]) {
      expect(await client.set("a", value)).toBe(true)
      expect((await client.get("a"))?.byteLength).toBe(24_576)
    }
  })
})

const ttlCalls: Record<string, (store: Kv, ttlMs: number) => unknown> = {
  set: (store, ttlMs) => store.set("a", "1", { ttlMs }),
  put: (store, ttlMs) => store.put("a", "1", { ttlMs }),
  setMany: (store, ttlMs) => store.setMany([["a", "1"]], { ttlMs }),
  getOrSet: (store, ttlMs) => store.getOrSet("a", () => 1, { ttlMs }),
}

describe("ttlMs", () => {
  const illegal = [
    0,
    -1,
    0.5,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    "1000",
    null,
    undefined,
    5n,
  ]
  for (const [operation, call] of Object.entries(ttlCalls)) {
    test.each(illegal)(`${operation} refuses %s`, async (ttlMs) => {
      const allowed = /whole number of milliseconds, at least 1.*leave the option out/i
      const error = await refused((store) => call(store, ttlMs as number), "INVALID_TTL", allowed)
      expect(error).toMatchObject({ operation })
    })
  }

  test.each(["set", "put", "setMany"])("%s refuses a time beyond the year 9999", async (operation) => {
    await refused((store) => ttlCalls[operation]?.(store, 253_402_300_800_000), "INVALID_TTL", /year 9999/)
  })

  test("1 ms and a century are allowed; without the option a value does not expire", async () => {
    const { client, runtime } = await gatedStore()
    const century = 100 * 365 * 86_400_000
    expect((await client.put("a", "1", { ttlMs: 1 })).expiresAt).toBe(runtime.now() + 1)
    expect((await client.put("a", "1", { ttlMs: century })).expiresAt).toBe(runtime.now() + century)
    expect((await client.put("a", "1", {})).expiresAt).toBeUndefined()
  })
})

describe("options", () => {
  /** Every call that takes options, with the names of those it takes. */
  const calls: Record<string, [names: string, call: (store: Kv, options: never) => unknown]> = {
    get: ["signal, consistency", (store, options) => store.get("a", options)],
    getText: ["signal, consistency", (store, options) => store.getText("a", options)],
    getJson: ["signal, consistency, mutable", (store, options) => store.getJson("a", options)],
    getEntry: ["signal, consistency", (store, options) => store.getEntry("a", options)],
    getMany: ["signal, consistency, fill", (store, options) => store.getMany(["a"], options)],
    getManyText: ["signal, consistency, fill", (store, options) => store.getManyText(["a"], options)],
    getManyJson: [
      "signal, consistency, mutable, fill",
      (store, options) => store.getManyJson(["a"], options),
    ],
    exists: ["signal, consistency", (store, options) => store.exists("a", options)],
    set: ["signal, ttlMs, ifNotExists, ifVersion", (store, options) => store.set("a", "1", options)],
    put: ["signal, ttlMs, ifNotExists, ifVersion", (store, options) => store.put("a", "1", options)],
    setMany: ["signal, ttlMs", (store, options) => store.setMany([["a", "1"]], options)],
    delete: ["signal, ifVersion", (store, options) => store.delete("a", options)],
    deleteMany: ["signal", (store, options) => store.deleteMany(["a"], options)],
    scan: ["signal, limit, cursor, fill", (store, options) => store.scan("a", options).next()],
    scanPage: ["signal, limit, cursor", (store, options) => store.scanPage("a", options)],
    getOrSet: [
      "signal, consistency, mutable, ttlMs, as, refreshAheadMs",
      (store, options) => store.getOrSet("a", () => 1, options),
    ],
  }
  const wrong: Record<string, unknown> = {
    signal: {},
    consistency: "eventual",
    mutable: 1,
    fill: "yes",
    ifNotExists: 1,
    ifVersion: undefined,
    limit: 0,
    as: "xml",
    refreshAheadMs: -1,
  }

  for (const [operation, [names, call]] of Object.entries(calls)) {
    test(`${operation} refuses an option that it does not know, and names those it does`, async () => {
      const unknown = ["ttl", "expiresIn", "toString", "__proto__x", ...Object.keys(wrong)].filter(
        (name) => !names.split(", ").includes(name),
      )
      for (const name of unknown) {
        const error = await refused(
          (store) => call(store, { [name]: wrong[name] } as never),
          "INVALID_OPTION",
          new RegExp(`no option "${name}" here; known are ${names}$`),
        )
        expect(error).toMatchObject({ operation })
      }
    })

    test(`${operation} refuses options with a wrong value, and says which are right`, async () => {
      for (const name of names.split(", ").filter((name) => name !== "ttlMs" && name !== "cursor")) {
        await refused(
          (store) => call(store, { [name]: wrong[name] } as never),
          "INVALID_OPTION",
          new RegExp(`^${name} is `),
        )
      }
      for (const options of [null, "ttl", 5, () => 1]) {
        await refused((store) => call(store, options as never), "INVALID_OPTION", /Options are an object/)
      }
    })
  }

  test("ifNotExists with ifVersion is refused, whatever their values", async () => {
    const { client } = await gatedStore()
    const { version = "" } = await client.put("a", "1")
    for (const ifNotExists of [true, false]) {
      const message = /exclude each other/
      await refused(
        (store) => store.set("a", "1", { ifNotExists, ifVersion: version }),
        "INVALID_OPTION",
        message,
      )
    }
  })

  test("ifVersion: undefined is refused, so that a version that got lost writes nothing", async () => {
    const options = { ifVersion: undefined } as never
    await refused((store) => store.set("a", "1", options), "INVALID_OPTION", /leave the option out/)
    await refused((store) => store.put("a", "1", options), "INVALID_OPTION", /leave the option out/)
    await refused((store) => store.delete("a", options), "INVALID_OPTION", /leave the option out/)
  })

  test("limit is from 1 to 1,000", async () => {
    for (const limit of [0, -1, 1.5, 1_001, Number.NaN]) {
      await refused(
        (store) => store.scanPage("", { limit }),
        "INVALID_OPTION",
        /limit is .*from 1 to 1000; got/,
      )
    }
    const { client } = await gatedStore()
    for (const limit of [1, 1_000]) await client.scanPage("", { limit })
  })

  test("refreshAheadMs needs ttlMs, and a loader is a function", async () => {
    const ahead = { refreshAheadMs: 5 }
    await refused((store) => store.getOrSet("a", () => 1, ahead), "INVALID_OPTION", /needs ttlMs/)
    await refused((store) => store.getOrSet("a", "value" as never), "INVALID_OPTION", /takes a function/)
  })
})

describe("names of stores", () => {
  test.each(["", "a".repeat(65), "a.b", "a:b", "a/b", "é", "a b"])("kv(%j) is INVALID_ID", async (name) => {
    await expect(kv(name, { backend: "memory:" })).rejects.toMatchObject({
      code: "INVALID_ID",
      message: expect.stringContaining("1 to 64 characters of A-Z a-z 0-9 - _"),
    })
  })

  test.each([undefined, null, 7])("kv(%s) is INVALID_ID", async (name) => {
    await expect(Reflect.apply(kv, undefined, [name])).rejects.toMatchObject({ code: "INVALID_ID" })
  })

  test.each(["a", "A-9_z", "_", "-", "a".repeat(64)])("kv(%j) opens", async (name) => {
    expect((await kv(name, { backend: "memory:" })).name).toBe(name)
  })
})

describe("options of a store", () => {
  test.each<[options: object, message: RegExp]>([
    [{ ttl: 1 }, /no option "ttl"/],
    [{ backend: 5 }, /a URL or a backend/],
    [{ backend: {} }, /a URL or a backend/],
    [{ l1: true }, /object of options, or false/],
    [{ l1: { max: 5 } }, /no option "max".*maxEntries/],
    [{ l1: { maxEntries: 0 } }, /l1.maxEntries is a whole number from 1 to 33554431; got 0/],
    [{ l1: { maxEntries: 3e8 } }, /l1.maxEntries is a whole number from 1 to 33554431; got 300000000/],
    [{ l1: { maxBytes: 1.5 } }, /l1.maxBytes/],
    [{ l1: { ttlMs: 0 } }, /l1.ttlMs/],
    [{ l1: { negativeTtlMs: -1 } }, /l1.negativeTtlMs/],
    [{ l1: { jitter: 1 } }, /l1.jitter is a number of at least 0 and less than 1; got 1/],
    [{ timeoutMs: 0 }, /timeoutMs/],
    [{ quarantineMs: -1 }, /quarantineMs/],
  ])("%j is INVALID_OPTION", async (options, message) => {
    await expect(kv("a", { backend: "memory:", ...options })).rejects.toMatchObject({
      code: "INVALID_OPTION",
      operation: "open",
      message: expect.stringMatching(message),
    })
  })

  test("the defaults are those of the contract", async () => {
    const store = await kv("a", { backend: "memory:" })
    expect(store.stats().l1).toMatchObject({ maxEntries: 10_000, maxBytes: 64 * 1024 * 1024 })
    const tiny = await kv("a", { backend: "memory:", l1: { maxEntries: 1, maxBytes: 1, jitter: 0 } })
    expect(tiny.stats().l1).toMatchObject({ maxEntries: 1, maxBytes: 1 })
  })
})
