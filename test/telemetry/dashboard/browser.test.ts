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

/** The page in a real browser, over real HTTP. The browser's clock is stopped: the test moves it to the next poll. */

await requireBrowser((browser) => {
  async function open(url: string, options?: BrowserContextOptions) {
    const page = await openPage(browser, url, options, async (page) => {
      await page.clock.install({ time: 0 })
      await page.clock.pauseAt(3_600_000)
    })
    return { page, poll: () => page.clock.runFor(2_000) }
  }
  const row = (page: Page, label: string) =>
    page
      .getByRole("row")
      .filter({ has: page.getByRole("rowheader", { name: label, exact: true }) })
      .first()
  const state = (page: Page) => page.getByRole("status")
  const answer = (page: Page, question: string) => page.locator(".answer", { hasText: question })
  const names = (page: Page) => page.locator("#overview tbody a").allTextContents()

  describe("the page shows", () => {
    test("how to name a process where there is none, that no store is open, a store as soon as it is opened, and nothing new while it is paused", async () => {
      const none = await open(await serveDashboard(dashboard({ own: false })))
      await none.page.getByRole("heading", { name: "No process to show yet" }).waitFor()
      await none.page.getByText("tiered-kv dashboard http://").waitFor()

      const { page, poll } = await open(await serveDashboard(dashboard()))
      await page.getByRole("heading", { name: "No store is open" }).waitFor()
      const cache = await openStore("cache", { backend: "memory:" })
      await poll()
      await page.getByRole("heading", { name: "cache" }).waitFor()
      expect(await page.getByRole("heading", { name: "No store is open" }).isVisible()).toBe(false)
      expect(await row(page, "cache").textContent()).toContain("No requests yet")
      expect(await answer(page, "Are reads fast?").locator(".big").first().textContent()).toBe("– p50")

      await page.getByRole("button", { name: "Pause" }).press("Enter")
      expect(await state(page).textContent()).toBe("Paused")
      await cache.set("a", "1")
      await poll()
      expect(await row(page, "Written").getByRole("cell").last().textContent()).toBe("0")
      await page.getByRole("button", { name: "Resume" }).press("Enter")
      await poll()
      await row(page, "Written").getByText("1", { exact: true }).waitFor()
      expect(await state(page).textContent()).toBe("Live")
    })

    test("the counters of the store, and what follows from them", async () => {
      const cache = await openStore("cache", { backend: "memory:", l1: { maxEntries: 40, ttlMs: 60_000 } })
      const url = await serveDashboard(dashboard())
      for (let key = 0; key < 50; key++) await cache.set(`k${key}`, "value")
      for (let round = 0; round < 3; round++) for (let key = 0; key < 50; key++) await cache.get(`k${key}`)
      await cache.get("absent")
      await cache.get("absent")
      const { page } = await open(url)
      await page.getByRole("heading", { name: "cache" }).waitFor()
      const { l2 } = cache.stats()
      const last = async (label: string) =>
        (await row(page, label).getByRole("cell").allTextContents()).at(-1)
      expect(await last("L2 hit")).toBe(String(l2.hits))
      expect(await last("L2 absent")).toBe("1")
      expect(await last("L1 known absent")).toBe("1")
      expect(await last("Written")).toBe("50")
      const meter = page.getByRole("meter", { name: "Entries" })
      expect(await meter.getAttribute("aria-valuetext")).toBe("40 of 40")
      const room = answer(page, "Is L1 the right size?")
      expect(await room.locator(".word").textContent()).toBe("Too small")
      expect(await room.locator(".why").textContent()).toMatch(
        /Twice the room would answer 6\d\.\d % instead/,
      )
    })

    test("the failing store first, which error it is and since when; by another column, in its order; one store's charts", async () => {
      const gate = gatedBackend()
      const outage = new KvError("ACCESS_DENIED", "The table may not be read", { operation: "get" })
      // Reads of one turn travel together.
      gate.always("get", { fail: outage })
      gate.always("getMany", { fail: outage })
      const sound = await openStore("a-sound", { backend: "memory:" })
      const failing = await openStore("failing", { backend: gate })
      await openStore("idle", { backend: "memory:" })
      const { page, poll } = await open(await serveDashboard(dashboard()))
      await page.getByRole("heading", { name: "a-sound" }).waitFor()
      expect(await state(page).textContent()).toBe("Live")
      await sound.get("a")
      await Promise.allSettled(Array.from({ length: 7 }, (_, key) => failing.get(`k${key}`)))
      await poll()
      await page.getByText("1 store failing").waitFor()
      expect(await page.title()).toBe("1 store failing · tiered-kv")
      expect(await names(page)).toEqual(["failing", "a-sound", "idle"])
      await page.getByRole("link", { name: "failing" }).press("Enter")
      const health = answer(page, "Is the backend well?")
      expect(await health.locator(".word").textContent()).toBe("ACCESS_DENIED")
      expect(await health.locator(".why").textContent()).toMatch(
        /^100\.0 % of .* fail, since \d\d:\d\d:\d\d, for/,
      )
      expect(page.url()).toMatch(/#failing$/)

      await page.getByRole("button", { name: "Store" }).press("Enter")
      expect(await names(page)).toEqual(["a-sound", "failing", "idle"])
      await page.getByRole("button", { name: "Store" }).press("Enter")
      expect(await names(page)).toEqual(["idle", "failing", "a-sound"])
      const head = page.getByRole("columnheader", { name: "Store" })
      expect(await head.getAttribute("aria-sort")).toBe("descending")
      expect(await page.locator(".plot").count()).toBe(2)
    })

    test("40 stores of another process without touching what did not change, names as text, and a process that is silent", async () => {
      const evil = '<img src=x onerror="document.title=1"><script>alert(1)</script>'
      const stores = Array.from({ length: 40 }, (_, index) => storeReport(`store-${index}`))
      const named = { ...storeReport(evil), backend: { kind: evil, target: `${evil}&amp;` } }
      const other = await otherProcess(evil, named, ...stores)
      const silent = `http://user:secret@127.0.0.1:${await freePort()}/kv/`
      const { page, poll } = await open(await serveDashboard(dashboard({ processes: [other.url, silent] })))
      await page.getByText("Live · 1 process not answering").waitFor()
      const list = page.getByRole("region", { name: "Processes" }).getByRole("listitem")
      expect(await list.allTextContents()).toEqual([
        expect.stringContaining("serves this page"),
        expect.stringContaining(`${evil}${other.url} · 41 stores`),
        expect.stringMatching(
          /^http:\/\/127\.0\.0\.1:\d+\/kv\/Not answering\. Nothing listens there \(ECONNREFUSED\)\.$/,
        ),
      ])
      await page.getByRole("heading", { name: evil }).waitFor()
      expect(await page.locator(".backend").textContent()).toBe(`${evil} · ${evil}&amp;`)
      expect([await page.locator("img").count(), await page.locator("script").count()]).toEqual([0, 1])
      expect(await page.title()).toBe("1 process not answering · tiered-kv")

      await page.evaluate(
        `globalThis.changes = []
         new MutationObserver((all) => changes.push(...all.map(({ target }) => target.nodeName)))
           .observe(document.getElementById("overview"), { subtree: true, childList: true, attributes: true, characterData: true })`,
      )
      const asked = other.requests.length
      const updated = () => page.locator("#updated").textContent()
      for (const polls of [1, 2]) {
        const before = await updated()
        await poll()
        // The request comes before the page sets its next timer; what is drawn comes after it.
        await expect.poll(updated).not.toBe(before)
        expect(other.requests.length).toBe(asked + polls)
      }
      expect(await page.evaluate("changes")).toEqual([])
      expect(await page.locator(".plot").count()).toBe(2)
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
    test("with screen readers, on screens of any width, in dark mode and with reduced motion", async () => {
      const name = "a-store-with-the-longest-name-that-there-may-be-64-characters-xx"
      await openStore(name, { backend: "memory:" })
      await openStore("cache", { backend: "memory:" })
      const { page } = await open(await serveDashboard(dashboard()), {
        colorScheme: "light",
        reducedMotion: "no-preference",
      })
      await page.getByRole("heading", { name }).waitFor()
      const outline = await page.locator("body").ariaSnapshot()
      for (const part of [
        "- banner:",
        '- heading "tiered-kv" [level=1]',
        "- status: Live",
        "- main:",
        '- table "Stores, in the last minute":',
        '- columnheader "State ↓"',
        '- link "cache"',
        `- region "${name}":`,
        '- heading "Are reads fast?" [level=3]',
        'slider "Requests by result: moment shown"',
        'slider "Latency: moment shown"',
        '- table "Requests by result":',
        '- meter "Entries"',
        "- contentinfo:",
      ]) {
        expect(outline).toContain(part)
      }

      for (const width of [320, 360, 768, 1280]) {
        await page.setViewportSize({ width, height: 740 })
        expect(await page.evaluate("document.documentElement.scrollWidth"), `${width}`).toBeLessThanOrEqual(
          width,
        )
        const small = await page.evaluate(
          "[...document.querySelectorAll('button, summary, input')].filter((one) => one.offsetParent && one.getBoundingClientRect().height < 24).length",
        )
        expect(small, `${width}`).toBe(0)
      }

      const ground = () => page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
      const movement = () =>
        page.evaluate("getComputedStyle(document.querySelector('.bar')).transitionDuration")
      expect([await ground(), await movement()]).toEqual(["rgb(244, 245, 247)", "0.3s"])
      await page.emulateMedia({ colorScheme: "dark", reducedMotion: "reduce" })
      expect([await ground(), await movement()]).toEqual(["rgb(13, 17, 23)", "0s"])
    })
  })
})
