import { describe, test } from "vitest"
import { type ConformanceSubject, conformance } from "../../../tiers/testing/conformance.ts"

/** The conformance suite as vitest tests. Departures and cases that do not apply show as skipped, with the reason. */
export function describeConformance(name: string, subject: ConformanceSubject): void {
  describe(`${name} conformance`, () => {
    for (const { name: title, run } of conformance(subject)) {
      test(title, async (context) => {
        const result = await run()
        if (result.outcome !== "passed") context.skip(`${result.outcome}: ${result.reason}`)
      })
    }
  })
}
