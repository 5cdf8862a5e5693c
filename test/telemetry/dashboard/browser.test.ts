import type { BrowserContextOptions, Page } from "playwright-core"
import { describe, expect, onTestFinished, test } from "vitest"
import { dashboard } from "../../../telemetry/dashboard/handler.ts"
import { KvError } from "../../../tiers/errors.ts"
import { freePort } from "../../servers/server.ts"
import { openPage, requireBrowser } from "../../support/browser.ts"
import {
  openStore,
  otherProcess,
  serve,
  serveDashboard,
  storeReport,
  TOKEN,
} from "../../support/dashboard-fixture.ts"
import { gatedBackend } from "../../support/gated-backend.ts"

/** The page in a real browser, over real HTTP. It asks once a second, by its own clock. */

await requireBrowser((browser) => {
  const open = (url: string, options?: BrowserContextOptions) => openPage(browser, url, options)
  const figure = (page: Page, label: string) =>
    page.locator(".figure").filter({ has: page.getByRole("heading", { name: label, exact: true }) })
  const row = (page: Page, label: string) =>
    page
      .getByRole("row")
      .filter({ has: page.getByRole("rowheader", { name: label, exact: true }) })
      .first()
  const state = (page: Page) => page.getByRole("status")

  describe("the page shows", () => {
    test("that no store is open, and a store as soon as it is opened", async () => {
      const page = await open(await serveDashboard(dashboard()))
      await page.getByRole("heading", { name: "No store is open" }).waitFor()
      await openStore("cache", { backend: "memory:" })
      await page.getByRole("heading", { name: "cache" }).waitFor()
      expect(await page.getByRole("heading", { name: "No store is open" }).isVisible()).toBe(false)
      await page.getByText("No requests yet").waitFor()
      expect(await figure(page, "L1 hit ratio").locator(".value").textContent()).toBe("–")
    })

    test("how to name a process where there is none", async () => {
      const page = await open(await serveDashboard(dashboard({ own: false })))
      await page.getByRole("heading", { name: "No process to show yet" }).waitFor()
      await page.getByText("tiered-kv dashboard http://").waitFor()
    })

    test("the counters of the store", async () => {
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

    test("a failing store in its section, in the state and in the title", async () => {
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

    test("a process that cannot be reached, with its address and the reason, beside the others", async () => {
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

    test("names from other processes as text, never as markup", async () => {
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

    test("rates from the counters, none below zero where a store is opened anew", async () => {
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

  describe("the page admits", () => {
    test("a user who types the token, and keeps it out of the URL", async () => {
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

    test("no page that frames it", async () => {
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

  describe("the page works", () => {
    test("by keyboard: pause, resume and the moment that the charts point at", async () => {
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

    test("with screen readers: landmarks, names and tables", async () => {
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

    test.each([320, 360, 768, 1280])(
      "on a screen %i pixels wide without scrolling sideways",
      async (width) => {
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
      },
    )

    test("in dark mode and with reduced motion", async () => {
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
})
