import { expect, onTestFinished, test } from "vitest"
import { dashboard } from "../../../../telemetry/dashboard/handler.ts"
import { REPORT_VERSION, STEP_MS } from "../../../../telemetry/dashboard/report.ts"
import { requireBrowser } from "../../../support/browser.ts"
import { processOf, serveDashboard, withHits } from "../../../support/dashboard-fixture.ts"

/** What the page asks of the dashboard, and what it shows of the answers. The browser's clock is stopped: the test moves it. */

type Answer = { status: number; body: string } | "none"

/** A report of a process whose only store had so many L1 hits in each of its last steps. */
const answering = (step: number, ...hits: number[]): Answer => ({
  status: 200,
  body: JSON.stringify({
    version: REPORT_VERSION,
    processes: [{ ...processOf("a", step * STEP_MS, withHits(hits)), step }],
  }),
})

await requireBrowser((browser) => {
  /** The page after its first answer; `poll` makes it read the next. */
  async function open(...answers: Answer[]) {
    const page = await browser.newPage()
    onTestFinished(() => page.close())
    const failures: string[] = []
    page.on("pageerror", (error) => failures.push(String(error)))
    let asked = 0
    await page.route("**/stats.json?steps=*", (route) => {
      const answer = answers[asked++]
      return answer === undefined || answer === "none" ? route.abort() : route.fulfill(answer)
    })
    await page.clock.install({ time: 0 })
    await page.clock.pauseAt(3_600_000)
    await page.goto(await serveDashboard(dashboard()))
    const text = (selector: string) => page.locator(selector).textContent()
    return {
      page,
      failures,
      asked: () => asked,
      poll: () => page.clock.runFor(2_000),
      shows: (state: string) =>
        page
          .getByRole("status")
          .and(page.getByText(state, { exact: true }))
          .waitFor(),
      stores: () => text("#stores"),
    }
  }

  test("the page asks every two seconds, and shows the history that it is told", async () => {
    const { page, asked, shows, stores, failures } = await open(
      answering(1, 300, 600),
      answering(2, 300, 600, 900),
    )
    await shows("Live")
    expect(await stores()).toContain("15.0")
    await page.clock.runFor(1_999)
    expect(asked()).toBe(1)
    await page.clock.runFor(1)
    await page.getByText("1,800").first().waitFor()
    expect([asked(), failures]).toEqual([2, []])
    const slider = page.getByRole("slider", { name: "Requests by result: moment shown" })
    await slider.press("ArrowLeft")
    expect(await slider.getAttribute("aria-valuetext")).toContain("L1 hit 120 a second")
    expect(await page.locator(".moment").first().textContent()).toBe("5 s ago")
    await slider.press("Escape")
    expect(await page.locator(".moment").first().textContent()).toBe("last minute")
  })

  test("a dashboard that does not answer is reported, what was shown stays, and the page goes on when it is back", async () => {
    const { page, poll, shows, stores, failures } = await open(answering(1, 600), "none", answering(3, 5_400))
    await shows("Live")
    await poll()
    await shows("The dashboard does not answer")
    expect(await page.title()).toBe("Not answering · tiered-kv")
    expect(await stores()).toContain("10.0")
    await poll()
    await shows("Live")
    await page.getByText("5,400").first().waitFor()
    expect(await page.title()).toBe("tiered-kv")
    expect(await stores()).toContain("90.0")
    expect(failures).toEqual([])
  })

  test("any other answer than a report is reported", async () => {
    const wrong: readonly [number, string, string][] = [
      [401, "", "The dashboard asks for its token: reload the page"],
      [500, "", "The dashboard answers with the status 500"],
      [200, "<html>", "The dashboard does not answer"],
      [403, "", "The dashboard asks for its token: reload the page"],
      [200, '{"version":1}', "The dashboard has another version now: reload the page"],
    ]
    const { poll, shows, failures } = await open(...wrong.map(([status, body]) => ({ status, body })))
    for (const [, , state] of wrong) {
      await shows(state)
      await poll()
    }
    expect(failures).toEqual([])
  })
})
