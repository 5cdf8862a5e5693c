import { createContext, runInContext } from "node:vm"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { SCRIPT } from "../../../telemetry/dashboard/page/document.ts"
import { formats } from "../../../telemetry/dashboard/page/format.ts"
import { histories, type StoreHistory } from "../../../telemetry/dashboard/page/history.ts"
import { measures } from "../../../telemetry/dashboard/page/measures.ts"
import { STYLE } from "../../../telemetry/dashboard/page/style.ts"
import type { AnsweringProcess, StoreReport } from "../../../telemetry/dashboard/report.ts"
import { storeReport } from "../../support/dashboard-fixture.ts"
import { settle } from "../../support/runtime.ts"

const { reads, l1Answered, l1Asked, requests, errors, TIERS, RESULTS } = measures()

function processOf(id: string, uptimeMs: number, ...stores: StoreReport[]): AnsweringProcess {
  return { id, name: id, uptimeMs, stores }
}

function withHits(hits: number, name = "cache"): StoreReport {
  const store = storeReport(name)
  return { ...store, l1: { ...store.l1, hits } }
}

/** L1 hits a second in the last point. */
function lastHits(histories: readonly StoreHistory[]): number | undefined {
  return histories[0]?.points.at(-1)?.rates?.l1Hits
}

describe("rates", () => {
  test("are what was counted between two reports, by the clock of the process that counted", () => {
    const history = histories()
    expect(lastHits(history.add([processOf("a", 50_000, withHits(1_000))], 0))).toBeUndefined()
    // The second report came late, but was made two seconds after the first.
    expect(lastHits(history.add([processOf("a", 52_000, withHits(1_300))], 3_500))).toBe(150)
  })

  test("of the stores of one name in several processes add up", () => {
    const history = histories()
    history.add([processOf("a", 1_000, withHits(0)), processOf("b", 9_000, withHits(500))], 0)
    const now = [processOf("a", 2_000, withHits(30)), processOf("b", 11_000, withHits(700))]
    const [cache] = history.add(now, 1_000)
    expect(cache?.points.at(-1)?.rates?.l1Hits).toBe(130)
    expect(cache?.members.map(({ rates }) => rates?.l1Hits)).toEqual([30, 100])
  })

  test("of a store that was opened anew under the same name count from zero", () => {
    const history = histories()
    history.add([processOf("a", 1_000, withHits(5_000))], 0)
    expect(lastHits(history.add([processOf("a", 2_000, withHits(40))], 1_000))).toBe(40)
  })

  test("of a process that started since the last report count from zero", () => {
    const history = histories()
    history.add([processOf("a", 90_000, withHits(5_000))], 0)
    expect(lastHits(history.add([processOf("b", 500, withHits(40))], 1_000))).toBe(80)
  })

  test("of a process that is seen late are not known at first: what it counted took longer", () => {
    const history = histories()
    history.add([], 0)
    expect(lastHits(history.add([processOf("a", 90_000, withHits(5_000))], 1_000))).toBeUndefined()
    expect(lastHits(history.add([processOf("a", 91_000, withHits(5_010))], 2_000))).toBe(10)
  })

  test("of processes that take turns behind one address are each their own", () => {
    const history = histories()
    history.add([processOf("a", 10_000, withHits(100))], 0)
    history.add([processOf("b", 70_000, withHits(9_000))], 1_000)
    expect(lastHits(history.add([processOf("a", 12_000, withHits(120))], 2_000))).toBe(10)
    expect(lastHits(history.add([processOf("b", 72_000, withHits(9_040))], 3_000))).toBe(20)
  })

  test("wait a report where one of two stores of the same name was closed: which one cannot be told", () => {
    const history = histories()
    history.add([processOf("a", 1_000, withHits(100), withHits(7_000))], 0)
    expect(lastHits(history.add([processOf("a", 2_000, withHits(7_010))], 1_000))).toBeUndefined()
    expect(lastHits(history.add([processOf("a", 3_000, withHits(7_030))], 2_000))).toBe(20)
  })

  test("are never negative, and add up to all that was counted, whatever happens to the process", () => {
    const step = fc.record({
      hits: fc.nat(1_000),
      restart: fc.boolean(),
      seconds: fc.integer({ min: 1, max: 5 }),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        const history = histories()
        let [at, uptime, counted, generation, all, shown] = [0, 10_000, 500, 0, 0, 0]
        history.add([processOf("0", uptime, withHits(counted))], at)
        for (const { hits, restart, seconds } of steps) {
          at += seconds * 1_000
          // A restart takes a tenth of a second of the interval.
          uptime = restart ? seconds * 1_000 - 100 : uptime + seconds * 1_000
          if (restart) [generation, counted] = [generation + 1, 0]
          counted += hits
          all += hits
          const rate = lastHits(history.add([processOf(String(generation), uptime, withHits(counted))], at))
          if (rate === undefined || rate < 0) return false
          shown += rate * (restart ? seconds - 0.1 : seconds)
        }
        return Math.abs(shown - all) < 1e-6
      }),
    )
  })
})

describe("the history", () => {
  test("keeps a store that was closed for five minutes, with gaps in its chart", () => {
    const history = histories()
    history.add([processOf("a", 0, withHits(1))], 0)
    const [closed] = history.add([processOf("a", 1_000)], 1_000)
    expect(closed).toMatchObject({ name: "cache", members: [] })
    expect(closed?.points.at(-1)?.rates).toBeUndefined()
    expect(history.add([processOf("a", 300_000)], 300_000)).toHaveLength(1)
    expect(history.add([processOf("a", 301_000)], 301_000)).toHaveLength(0)
  })

  test("holds five minutes of points, and shows as much as there is", () => {
    const history = histories()
    let shown: StoreHistory[] = []
    const spans = new Set<number>()
    for (let second = 0; second <= 400; second++) {
      shown = history.add([processOf("a", second * 1_000, withHits(second))], second * 1_000)
      spans.add(history.spanMs())
    }
    expect(shown[0]?.points).toHaveLength(301)
    expect([...spans]).toEqual([60_000, 120_000, 300_000])
  })

  test("averages the last ten seconds for the numbers beside the charts", () => {
    const history = histories()
    for (let second = 0; second <= 20; second++) {
      const hits = second <= 10 ? 0 : (second - 10) * 100
      const [cache] = history.add([processOf("a", second * 1_000, withHits(hits))], second * 1_000)
      if (second === 15 && cache !== undefined) expect(history.recent(cache)?.l1Hits).toBe(50)
      if (second === 20 && cache !== undefined) expect(history.recent(cache)?.l1Hits).toBe(100)
    }
  })

  test("survives a silent process: the others go on", () => {
    const history = histories()
    const silent = { url: "http://10.0.0.9/", failure: "Nothing listens there" }
    history.add([processOf("a", 0, withHits(0)), silent], 0)
    expect(lastHits(history.add([silent, processOf("a", 1_000, withHits(7))], 1_000))).toBe(7)
  })
})

describe("measures", () => {
  const history = histories()
  const latency = { count: 10, meanMs: 2, p50Ms: 1, p90Ms: 3, p99Ms: 4, maxMs: 5 }
  const store = storeReport("cache")
  const [cache] = history.add(
    [
      processOf("a", 0, {
        ...store,
        l1: { ...store.l1, hits: 70, negativeHits: 10, misses: 20 },
        l2: {
          ...store.l2,
          hits: 9,
          misses: 4,
          coalesced: 5,
          readErrors: 2,
          writes: 6,
          refused: 1,
          writeErrors: 3,
          readLatency: latency,
        },
        loader: { ...store.loader, errors: 1 },
      }),
    ],
    0,
  )
  if (cache === undefined) throw new Error("a store was reported")
  const totals = history.totals(cache)

  test("follow from the counters", () => {
    expect(l1Answered(totals) / l1Asked(totals)).toBe(0.8)
    expect(reads(totals)).toBe(100)
    expect(requests(totals)).toBe(110)
    expect(errors(totals)).toBe(6)
    expect(RESULTS.reduce((sum, { of }) => sum + of(totals), 0)).toBe(requests(totals))
    expect(TIERS.map(({ mean }) => mean(totals))).toEqual([undefined, 2, undefined, undefined])
  })
})

describe("numbers", () => {
  const { rate, ratio, bytes, duration, age, plural } = formats()

  test("bear their units", () => {
    expect([0, 0.01, 12.34, 1_234, 56_789, 3_456_789].map(rate)).toEqual([
      "0",
      "< 0.1",
      "12.3",
      "1,234",
      "56.8k",
      "3.46M",
    ])
    expect([0, 1_023, 24_576, 67_108_864, 2 ** 31].map(bytes)).toEqual([
      "0 B",
      "1023 B",
      "24.0 KiB",
      "64.0 MiB",
      "2.00 GiB",
    ])
    expect([0.000_4, 0.012, 4.56, 1_200].map(duration)).toEqual(["400 ns", "12.0 µs", "4.56 ms", "1.20 s"])
    expect([400, 61_000, 3_661_000, 90_000_000].map(age)).toEqual(["0 s", "1 min", "1 h 1 min", "1 d 1 h"])
    expect([plural(1, "key", "keys"), plural(2_000, "key", "keys")]).toEqual(["1 key", "2,000 keys"])
  })

  test("never round a part up to all, or down to none", () => {
    expect([ratio(1, 1), ratio(99_999, 100_000), ratio(1, 100_000), ratio(0, 5), ratio(0, 0)]).toEqual([
      "100.0 %",
      "99.9 %",
      "< 0.1 %",
      "0.0 %",
      "–",
    ])
  })
})

describe("the script", () => {
  /** Enough of an element to be filled and asked. */
  class FakeElement {
    textContent: string | null = null
    hidden = false
    readonly style = { width: "" }
    readonly attributes = new Map<string, string>()
    readonly listeners = new Map<string, (event: object) => void>()
    children: (FakeElement | string)[] = []
    append(...children: (FakeElement | string)[]) {
      this.children.push(...children)
    }
    replaceChildren(...children: FakeElement[]) {
      this.children = children
    }
    remove() {}
    setAttribute(name: string, value: string) {
      this.attributes.set(name, value)
    }
    getAttribute(name: string) {
      return this.attributes.get(name) ?? null
    }
    getBoundingClientRect() {
      return { left: 0, width: 300, height: 100 }
    }
    addEventListener(type: string, listener: (event: object) => void) {
      this.listeners.set(type, listener)
    }
    /** All the text in it. */
    text(): string {
      return [
        this.textContent ?? "",
        ...this.children.map((child) => (typeof child === "string" ? child : child.text())),
      ].join(" ")
    }
  }

  /** Runs the script's text where there is nothing but the language and these few things of a browser. */
  async function runAlone(answers: readonly (() => object)[]) {
    const elements = new Map<string, FakeElement>()
    const document = {
      title: "",
      createElement: () => new FakeElement(),
      createElementNS: () => new FakeElement(),
      getElementById(id: string) {
        const element = elements.get(id) ?? new FakeElement()
        elements.set(id, element)
        return element
      },
    }
    let now = 0
    let next: (() => void) | undefined
    const left = [...answers]
    const browser = {
      document,
      fetch: async () => left.shift()?.(),
      performance: { now: () => now },
      setTimeout: (callback: () => void) => {
        next = callback
      },
      AbortSignal: { timeout: () => undefined },
    }
    runInContext(SCRIPT, createContext(browser))
    for (let poll = 1; poll < answers.length; poll++) {
      await settle()
      now += 1_000
      next?.()
    }
    await settle()
    return { document, element: (id: string) => document.getElementById(id) }
  }

  const report = (...processes: object[]) => ({
    status: 200,
    ok: true,
    json: async () => ({ version: 1, processes }),
  })
  const answering = (uptimeMs: number, hits: number) => report(processOf("a", uptimeMs, withHits(hits)))

  test("needs nothing but its own text: it draws two reports", async () => {
    const page = await runAlone([() => answering(1_000, 10), () => answering(2_000, 60)])
    expect(page.element("state").textContent).toBe("Live")
    expect(page.element("stores").text()).toMatch(/cache .* 50\.0 \/s/)
  })

  test("says so when the dashboard falls silent, keeps what it has, and goes on when it is back", async () => {
    const silent = () => {
      throw new TypeError("Failed to fetch")
    }
    const lost = await runAlone([() => answering(1_000, 10), silent])
    expect(lost.element("state").textContent).toBe("The dashboard does not answer")
    expect(lost.document.title).toContain("Not answering")
    expect(lost.element("stores").text()).toContain("cache")
    const back = await runAlone([() => answering(1_000, 10), silent, () => answering(3_000, 110)])
    expect(back.element("state").textContent).toBe("Live")
    expect(back.element("stores").text()).toMatch(/ 50\.0 \/s/)
  })

  test.each([
    [{ status: 401, ok: false }, "The dashboard asks for its token: load the page anew"],
    [{ status: 500, ok: false }, "The dashboard answers with the status 500"],
    [
      { status: 200, ok: true, json: async () => ({ version: 2 }) },
      "The dashboard has another version now: load the page anew",
    ],
  ])("says what it is answered instead of a report: %o", async (answer, says) => {
    expect((await runAlone([() => answer])).element("state").textContent).toBe(says)
  })
})

describe("colours", () => {
  const [light = "", dark = ""] = STYLE.split("prefers-color-scheme: dark")
  test.each([
    ["light", light],
    ["dark", dark],
  ])("in the %s stand out: text at 4.5:1, charts at 3:1", (_name, css) => {
    const colours = new Map(
      [...css.matchAll(/--([a-z0-9-]+): (#[0-9a-f]{3,6})/g)].map(([, name = "", hex = ""]) => [name, hex]),
    )
    const contrast = (name: string, ground: string) => {
      const [lighter = 0, darker = 0] = [colours.get(name), colours.get(ground)]
        .map(luminance)
        .sort((a, b) => b - a)
      return (lighter + 0.05) / (darker + 0.05)
    }
    for (const ground of ["card", "ground", "error-ground"]) {
      for (const text of ["text", "soft"])
        expect(contrast(text, ground), `${text} on ${ground}`).toBeGreaterThan(4.5)
    }
    for (const text of ["error", "warning"]) expect(contrast(text, "card")).toBeGreaterThan(4.5)
    expect(contrast("error", "error-ground")).toBeGreaterThan(4.5)
    for (const { className } of [...RESULTS, ...TIERS]) {
      expect(contrast(className, "card"), className).toBeGreaterThan(3)
    }
  })
})

/** Relative luminance, as WCAG defines it. */
function luminance(hex = ""): number {
  const digits =
    hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit) : hex.slice(1).match(/../g)
  const [r = 0, g = 0, b = 0] = (digits ?? []).map((pair) => {
    const share = Number.parseInt(pair, 16) / 255
    return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
