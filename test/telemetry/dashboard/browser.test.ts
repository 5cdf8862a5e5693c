import { fileURLToPath } from "node:url"
import type { Page } from "playwright-core"
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import type { Kv } from "../../../src/api.ts"
import { kv } from "../../../src/kv.ts"
import { dashboard } from "../../../telemetry/dashboard/handler.ts"
import { KvError } from "../../../tiers/errors.ts"
import { accepts, freePort, startProcess } from "../../servers/server.ts"
import { requireBrowser } from "../../support/browser.ts"
import { type Built, build } from "../../support/built.ts"
import { otherProcess, serve, serveDashboard, storeReport } from "../../support/dashboard-fixture.ts"
import { gatedBackend } from "../../support/gated-backend.ts"

/** The page in a real browser, over real HTTP. It asks once a second, by its own clock. */

const CHILD = fileURLToPath(new URL("../../support/children/dashboard-process.mjs", import.meta.url))
const TOKEN = "0123456789abcdef"

const stores: Kv[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})
async function openStore(...[name, options]: Parameters<typeof kv>): Promise<Kv> {
  const store = await kv(name, options)
  stores.push(store)
  return store
}

await requireBrowser((browser) => {
  /** Opens a page that may neither fail, nor break its policy, nor ask anybody but the dashboard. */
  async function open(url: string, options: Parameters<typeof browser.newPage>[0] = {}): Promise<Page> {
    const page = await browser.newPage(options)
    const complaints: string[] = []
    page.on("pageerror", (error) => complaints.push(String(error)))
    page.on("console", (message) => complaints.push(message.text()))
    page.on("request", (request) => {
      if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith("data:")) {
        complaints.push(`it asked ${request.url()}`)
      }
    })
    onTestFinished(async () => {
      await page.close()
      expect(complaints).toEqual([])
    })
    await page.goto(url)
    return page
  }

  const figure = (page: Page, label: string) =>
    page.locator(".figure").filter({ has: page.getByRole("heading", { name: label, exact: true }) })
  const row = (page: Page, label: string) =>
    page
      .getByRole("row")
      .filter({ has: page.getByRole("rowheader", { name: label, exact: true }) })
      .first()
  const state = (page: Page) => page.getByRole("status")

  describe("shows", () => {
    test("a process without a store, and the store as soon as it is open", async () => {
      const page = await open(await serveDashboard(dashboard()))
      await page.getByRole("heading", { name: "No store is open" }).waitFor()
      await openStore("cache", { backend: "memory:" })
      await page.getByRole("heading", { name: "cache" }).waitFor()
      expect(await page.getByRole("heading", { name: "No store is open" }).isVisible()).toBe(false)
      await page.getByText("No requests yet").waitFor()
      expect(await figure(page, "L1 hit ratio").locator(".value").textContent()).toBe("–")
    })

    test("no process at all: how to name one", async () => {
      const page = await open(await serveDashboard(dashboard({ own: false })))
      await page.getByRole("heading", { name: "No process to show yet" }).waitFor()
      await page.getByText("tiered-kv dashboard http://").waitFor()
    })

    test("the numbers that the store itself counts", async () => {
      const cache = await openStore("cache", { backend: "memory:", l1: { maxEntries: 40, ttlMs: 60_000 } })
      const page = await open(await serveDashboard(dashboard()))
      for (let key = 0; key < 50; key++) await cache.set(`k${key}`, "value")
      for (let key = 0; key < 50; key++) await cache.get(`k${key}`)
      for (let round = 0; round < 20; round++) for (let key = 30; key < 40; key++) await cache.get(`k${key}`)
      await cache.get("absent")
      await cache.get("absent")

      await page.getByText("251 since opened").or(page.getByText("302 since opened")).waitFor()
      const { l1, l2 } = cache.stats()
      const cells = async (label: string) =>
        (await row(page, label).getByRole("cell").allTextContents()).at(-1)
      expect(await figure(page, "L1 hit ratio").locator(".since").textContent()).toBe(
        `${(l1.hitRatio * 100).toFixed(1)} % since opened`,
      )
      expect(await cells("L1 hit")).toMatch(/^\d/)
      expect(await cells("L2 hit")).toBe(String(l2.hits))
      expect(await cells("L2 absent")).toBe("1")
      expect(await cells("L1 known absent")).toBe("1")
      expect(await cells("Written")).toBe("50")
      expect(await cells("Evicted: too many entries")).toBe("10")
      const meter = page.getByRole("meter", { name: "Entries" })
      expect(await meter.getAttribute("aria-valuetext")).toBe("40 of 40")
      const size = page.getByRole("meter", { name: "Bytes" })
      expect(await size.getAttribute("aria-valuenow")).toBe(String(l1.bytes))
    })

    test("a store that fails, in its own section, the state and the title", async () => {
      const gate = gatedBackend()
      const outage = new KvError("ACCESS_DENIED", "The table may not be read", { operation: "get" })
      // Reads of one turn travel together.
      gate.always("get", { fail: outage })
      gate.always("getMany", { fail: outage })
      const failing = await openStore("failing", { backend: gate })
      await openStore("sound", { backend: "memory:" })
      const page = await open(await serveDashboard(dashboard()))
      await page.getByRole("heading", { name: "sound" }).waitFor()
      expect(await state(page).textContent()).toBe("Live")

      await Promise.allSettled(Array.from({ length: 7 }, (_, key) => failing.get(`k${key}`)))
      await page.getByText("1 store failing").waitFor()
      expect(await page.title()).toBe("1 store failing · tiered-kv")
      const section = page.getByRole("region", { name: "failing" })
      await section.getByText("Failing: 100.0 % of what the backend is asked").waitFor()
      expect(await section.getByText("7 since opened").count()).toBeGreaterThan(0)
      expect(await page.getByRole("region", { name: "sound" }).getByText("Failing").count()).toBe(0)
    })

    test("a process that cannot be reached, by its address and the reason, beside the others", async () => {
      await openStore("here", { backend: "memory:" })
      const other = await otherProcess("web-2", storeReport("there"))
      const silent = `http://user:secret@127.0.0.1:${await freePort()}/kv/`
      const page = await open(await serveDashboard(dashboard({ processes: [other.url, silent] })))
      await page.getByText("Live · 1 process not answering").waitFor()
      const list = page.getByRole("region", { name: "Processes" }).getByRole("listitem")
      expect(await list.allTextContents()).toEqual([
        expect.stringContaining("serves this page"),
        expect.stringMatching(/^web-2.*1 store/),
        expect.stringMatching(
          /^http:\/\/127\.0\.0\.1:\d+\/kv\/Not answering\. Nothing listens there \(ECONNREFUSED\)\.$/,
        ),
      ])
      await page.getByRole("heading", { name: "there" }).waitFor()
    })

    test("what others call their stores as text, whatever it is", async () => {
      const evil = '<img src=x onerror="document.title=1"><script>alert(1)</script>'
      const store = { ...storeReport(evil), backend: { kind: evil, target: `${evil}&amp;` } }
      const other = await otherProcess(evil, store)
      const page = await open(await serveDashboard(dashboard({ processes: [other.url] })))
      await page.getByRole("heading", { name: evil }).waitFor()
      expect(await page.locator(".backend").textContent()).toBe(`${evil} · ${evil}&amp;`)
      expect(await page.locator("img").count()).toBe(0)
      expect(await page.locator("script").count()).toBe(1)
      expect(await page.title()).toBe("tiered-kv")
    })

    test("a second's rate by its counters, and none below zero when the store starts anew", async () => {
      const other = await otherProcess("web-2", storeReport("cache"))
      const page = await open(await serveDashboard(dashboard({ own: false, processes: [other.url] })))
      await page.getByText("No requests yet").waitFor()
      const step = (hits: number) => {
        const store = storeReport("cache")
        other.process.stores = [{ ...store, l1: { ...store.l1, hits } }]
        other.process.uptimeMs += 1_000
      }
      step(500)
      await page.getByText("500 since opened").waitFor()
      step(20)
      await page.getByText("20 since opened").first().waitFor()
      const rates = await figure(page, "Requests").locator(".value").textContent()
      expect(Number.parseFloat(rates ?? "")).toBeGreaterThanOrEqual(20)
    })
  })

  describe("lets in", () => {
    test("who types the token, and keeps it in no address", async () => {
      await openStore("cache", { backend: "memory:" })
      const url = await serveDashboard(dashboard({ token: TOKEN }))
      const context = await browser.newContext()
      onTestFinished(() => context.close())
      const page = await context.newPage()
      await page.goto(url)
      await page.getByLabel("Token").fill(TOKEN)
      await page.getByRole("button").click()
      await page.getByRole("heading", { name: "cache" }).waitFor()
      expect(page.url()).toBe(url)
      const [cookie] = await context.cookies()
      expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Lax" })
      await page.reload()
      await page.getByRole("heading", { name: "cache" }).waitFor()
    })

    test("nobody who frames it", async () => {
      const url = await serveDashboard(dashboard())
      const framing = await serve((_incoming, outgoing) => {
        outgoing.writeHead(200, { "content-type": "text/html" }).end(`<iframe src="${url}"></iframe>`)
      })
      const page = await browser.newPage()
      onTestFinished(() => page.close())
      await page.goto(framing)
      expect(page.frames().map((frame) => frame.url())).toEqual([framing, "chrome-error://chromewebdata/"])
    })
  })

  describe("serves", () => {
    test("hands: pauses, goes on, and moves along the charts by the keys", async () => {
      const cache = await openStore("cache", { backend: "memory:" })
      const page = await open(await serveDashboard(dashboard()))
      await cache.set("a", "1")
      await page.getByText("1 since opened").first().waitFor()
      await page.getByRole("button", { name: "Pause" }).press("Enter")
      expect(await state(page).textContent()).toBe("Paused")
      await cache.set("b", "1")
      await page.getByRole("button", { name: "Resume" }).click()
      await page.getByText("2 since opened").first().waitFor()
      await cache.set("c", "1")
      await page.getByText("3 since opened").first().waitFor()

      const slider = page.getByRole("slider", { name: "Requests by result: moment shown" })
      await slider.focus()
      expect(await slider.getAttribute("aria-valuetext")).toBe("now")
      await slider.press("ArrowLeft")
      expect(await slider.getAttribute("aria-valuetext")).toMatch(/^1 s ago: Error .* a second/)
      expect(await page.locator(".moment").first().textContent()).toBe("1 s ago")
      await slider.press("Escape")
      expect(await page.locator(".moment").first().textContent()).toBe("last 10 s")
    })

    test("screen readers: landmarks, names and tables", async () => {
      await openStore("cache", { backend: "memory:" })
      const page = await open(await serveDashboard(dashboard()))
      await page.getByRole("heading", { name: "cache" }).waitFor()
      const outline = await page.locator("body").ariaSnapshot()
      for (const part of [
        "- banner:",
        '- heading "tiered-kv" [level=1]',
        "- status: Live",
        "- main:",
        '- region "cache":',
        '- heading "L1 hit ratio" [level=3]',
        'slider "Requests by result: moment shown"',
        'slider "Latency by tier: moment shown"',
        '- table "Requests by result":',
        '- meter "Entries"',
        "- contentinfo:",
      ]) {
        expect(outline).toContain(part)
      }
    })

    test.each([320, 360, 768, 1280])("a screen %i pixels wide without scrolling sideways", async (width) => {
      const name = "a-store-with-the-longest-name-that-there-may-be-64-characters-xx"
      await openStore(name, { backend: "memory:" })
      const page = await open(await serveDashboard(dashboard()), { viewport: { width, height: 740 } })
      await page.getByRole("heading", { name }).waitFor()
      const wide = await page.evaluate("document.documentElement.scrollWidth")
      expect(wide).toBeLessThanOrEqual(width)
      const small = await page.evaluate(
        "[...document.querySelectorAll('button, summary, input')].filter((one) => one.getBoundingClientRect().height < 24).length",
      )
      expect(small).toBe(0)
    })

    test("dark rooms, and those whom movement disturbs", async () => {
      const url = await serveDashboard(dashboard())
      await openStore("cache", { backend: "memory:" })
      const ground = async (page: Page) =>
        page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
      const movement = (page: Page) =>
        page.evaluate("getComputedStyle(document.querySelector('.bar')).transitionDuration")
      const light = await open(url, { colorScheme: "light", reducedMotion: "no-preference" })
      await light.getByRole("heading", { name: "cache" }).waitFor()
      const dark = await open(url, { colorScheme: "dark", reducedMotion: "reduce" })
      await dark.getByRole("heading", { name: "cache" }).waitFor()
      expect([await ground(light), await ground(dark)]).toEqual(["rgb(244, 245, 247)", "rgb(13, 17, 23)"])
      expect([await movement(light), await movement(dark)]).toEqual(["0.3s", "0s"])
    })
  })

  describe("as built", () => {
    let built: Built
    beforeAll(async () => {
      built = await build()
    })
    afterAll(() => built.remove())

    async function startChild(port: number, reads: number) {
      const args = [CHILD, built.file("."), String(port), String(reads)]
      const child = await startProcess(process.execPath, args, {
        ready: () => accepts(port),
        remedy: "install Node",
      })
      onTestFinished(() => child.stop())
      return child
    }

    test("adds up processes of their own, goes on without one, and takes it back when it has started anew", async () => {
      const [one, two, own] = [await freePort(), await freePort(), await freePort()]
      const [first] = [await startChild(one, 101), await startChild(two, 51)]
      const urls = [one, two].map((port) => `http://127.0.0.1:${port}/`)
      const args = [built.file("src/cli/main.js"), "dashboard", "--port", String(own), ...urls]
      const cli = await startProcess(process.execPath, args, {
        ready: () => accepts(own),
        remedy: "install Node",
      })
      onTestFinished(() => cli.stop())
      await vi.waitFor(() => expect(cli.output()).toContain(`http://127.0.0.1:${own}/\n`))

      const page = await open(`http://127.0.0.1:${own}/`)
      // Each wrote one value besides.
      await page.getByText("154 since opened").waitFor()
      await page.getByText("By process (2)").click()
      expect(
        await page.getByRole("table", { name: "By process" }).getByRole("rowheader").allTextContents(),
      ).toEqual([`child ${one} · ${urls[0]}`, `child ${two} · ${urls[1]}`])

      await first?.stop()
      await page.getByText("1 process not answering").waitFor()
      await page.getByText("52 since opened").first().waitFor()

      await startChild(one, 11)
      await page.getByText("64 since opened").first().waitFor()
      expect(await state(page).textContent()).toBe("Live")
      const rate = await figure(page, "Requests").locator(".value").textContent()
      expect(Number.parseFloat(rate ?? "")).toBeGreaterThanOrEqual(0)
    })
  })
})
