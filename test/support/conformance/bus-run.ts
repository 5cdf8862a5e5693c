import { describe, test } from "vitest"
import { type BusConformanceSubject, busConformance } from "../../../tiers/testing/conformance.ts"

/** The conformance suite of buses as vitest tests. Departures and cases that do not apply show as skipped, with the reason. */
export function describeBusConformance(name: string, subject: BusConformanceSubject): void {
  describe(`${name} conformance`, () => {
    for (const { name: title, run } of busConformance(subject)) {
      test(title, async (context) => {
        const result = await run()
        if (result.outcome !== "passed") context.skip(`${result.outcome}: ${result.reason}`)
      }, 30_000)
    }
  })
}
