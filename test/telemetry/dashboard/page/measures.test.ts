import { expect, test } from "vitest"
import { totalsOf } from "../../../../telemetry/dashboard/page/counters.ts"
import {
  errors,
  l1Answered,
  l1Asked,
  RESULTS,
  reads,
  requests,
} from "../../../../telemetry/dashboard/page/measures.ts"
import { storeReport } from "../../../support/dashboard-fixture.ts"

test("measures follow from the counters of a store's report", () => {
  const store = storeReport("cache")
  const totals = totalsOf({
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
    },
    loader: { ...store.loader, errors: 1 },
  })
  expect(l1Answered(totals) / l1Asked(totals)).toBe(0.8)
  expect(reads(totals)).toBe(100)
  expect(requests(totals)).toBe(110)
  expect(errors(totals)).toBe(6)
  expect(RESULTS.reduce((sum, { of }) => sum + of(totals), 0)).toBe(requests(totals))
})
