import { existsSync } from "node:fs"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import { afterAll, describe, expect, onTestFinished, test } from "vitest"

/** Where Debian, Ubuntu and Google's own package put a Chromium; `CHROMIUM` names another. */
const PLACES = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
]

/** Switches off the requests that Chromium makes by itself. */
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
]

/**
 * Starts a real browser and declares the tests that need it; closes it after them. If there is no browser, one skipped test
 * states the reason; if `CI` is set, it fails with the reason.
 */
export async function requireBrowser(declareTests: (browser: Browser) => void): Promise<void> {
  const executablePath = PLACES.find((path) => path !== undefined && existsSync(path))
  if (executablePath === undefined) {
    const reason = `there is no Chromium in ${PLACES.slice(1).join(", ")}; install Debian's package chromium, or name one by CHROMIUM`
    if (process.env.CI) {
      test("needs a browser", () => {
        throw new Error(reason)
      })
    } else {
      test.skip(`in a browser: ${reason}`, () => {})
    }
    return
  }
  const browser = await chromium.launch({ executablePath, args: QUIET })
  describe(`in Chromium ${browser.version()}`, () => {
    afterAll(() => browser.close())
    declareTests(browser)
  })
}

/** Opens a page; `prepare` runs before it is loaded. The test fails if the page fails, breaks its policy or asks any other server. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  prepare: (page: Page) => Promise<void> = async () => {},
): Promise<Page> {
  const page = await browser.newPage(options)
  await prepare(page)
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
