import { expect, onTestFinished, test } from "vitest"
import { dashboard } from "../../../../telemetry/dashboard/handler.ts"
import { REPORT_VERSION } from "../../../../telemetry/dashboard/report.ts"
import { requireBrowser } from "../../../support/browser.ts"
import { processOf, serveDashboard, withHits } from "../../../support/dashboard-fixture.ts"

/** What the page asks of the dashboard, and what it shows of the answers. The browser's clock is stopped: the test moves it. */

type Answer = { status: number; body: string } | "none"

const answering = (uptimeMs: number, hits: number): Answer => ({
  status: 200,
  body: JSON.stringify({ version: REPORT_VERSION, processes: [processOf("a", uptimeMs, withHits(hits))] }),
})

await requireBrowser((browser) => {
  /** The page after its first answer; `poll` makes it read the next. */
  async function open(...answers: Answer[]) {
    const page = await browser.newPage()
    onTestFinished(() => page.close())
    const failures: string[] = []
    page.on("pageerror", (error) => failures.push(String(error)))
    let asked = 0
    await page.route("**/stats.json", (route) => {
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
      poll: () => page.clock.runFor(1_000),
      shows: (state: string) =>
        page
          .getByRole("status")
          .and(page.getByText(state, { exact: true }))
          .waitFor(),
      stores: () => text("#stores"),
    }
  }

  test("the page asks once a second and draws the rate between two reports", async () => {
    const { page, asked, shows, stores, failures } = await open(answering(1_000, 10), answering(2_000, 60))
    await shows("Live")
    await page.clock.runFor(999)
    expect(asked()).toBe(1)
    await page.clock.runFor(1)
    await page.getByText("60 since opened").first().waitFor()
    expect(await stores()).toContain("50.0 /s")
    expect([asked(), failures]).toEqual([2, []])
  })

  test("a dashboard that does not answer is reported, what was shown stays, and the page goes on when it is back", async () => {
    const { page, poll, shows, stores, failures } = await open(
      answering(1_000, 10),
      "none",
      answering(3_000, 110),
    )
    await shows("Live")
    await poll()
    await shows("The dashboard does not answer")
    expect(await page.title()).toBe("Not answering · tiered-kv")
    expect(await stores()).toContain("10 since opened")
    await poll()
    await shows("Live")
    await page.getByText("110 since opened").first().waitFor()
    expect(await page.title()).toBe("tiered-kv")
    expect(await stores()).toContain("50.0 /s")
    expect(failures).toEqual([])
  })

  test.each([
    [401, "", "The dashboard asks for its token: reload the page"],
    [403, "", "The dashboard asks for its token: reload the page"],
    [500, "", "The dashboard answers with the status 500"],
    [200, "<html>", "The dashboard does not answer"],
    [200, '{"version":2}', "The dashboard has another version now: reload the page"],
  ])("the answer %i %s instead of a report is reported", async (status, body, state) => {
    const { shows, failures } = await open({ status, body })
    await shows(state)
    expect(failures).toEqual([])
  })
})
