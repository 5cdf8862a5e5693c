import { beforeEach, describe, expect, test } from "vitest"
import { partitionOf } from "../../../tiers/azure-tables/row.ts"
import { ServiceTimes } from "../../../tiers/azure-tables/service-times.ts"
import type { ServiceTime } from "../../../tiers/backend.ts"
import { keysOfOnePartition } from "../../support/azure-tables-fixture.ts"
import { type TestRuntime, testRuntime } from "../../support/runtime.ts"

/** A time of the service that is far from every clock of this process, Unix ms. */
const SERVICE = Date.UTC(2031, 0, 1)
const [KEY = "", SAME_PARTITION = ""] = keysOfOnePartition(2)
const OTHER_PARTITION = partitionOf("a") === partitionOf(KEY) ? "b" : "a"

const etagOf = (ms: number) =>
  `W/"datetime'${encodeURIComponent(`${new Date(ms).toISOString().slice(0, -1)}0000Z`)}'"`

let runtime: TestRuntime
let times: ServiceTimes

beforeEach(() => {
  runtime = testRuntime()
  times = new ServiceTimes("table", runtime)
})

/** A write whose row gets an ETag of this time. */
const write = (key: string, ms: number) => times.written(key, times.moment(), etagOf(ms))
const answer = (ms: number) => times.answered(times.moment(), new Date(ms).toUTCString())
const spanNow = (key: string) => spanOf(times.now(key))
const spanAt = (key: string, ms: number) => spanOf(times.at(key, etagOf(ms)))
const spanOf = (time: ServiceTime | undefined) => time && [time.earliest - SERVICE, time.latest - SERVICE]

describe("the time of a partition", () => {
  test("is unknown before an answer with a time, and rows have none", () => {
    times.answered(times.moment(), undefined)
    times.written(KEY, times.moment(), undefined)
    times.written(KEY, times.moment(), `W/"1"`)
    expect(times.now(KEY)).toBeUndefined()
    expect(times.at(KEY, etagOf(SERVICE))).toBeUndefined()
  })

  test("comes from Date headers, with the errors of their seconds and of 2 s", () => {
    answer(SERVICE)
    expect(spanNow(KEY)).toEqual([-2_000, 3_000])
    expect(spanAt(KEY, SERVICE - 500)).toEqual([-500, -500])
  })

  test("comes from the ETags of writes, also of another partition, and has the name of its own", () => {
    write(KEY, SERVICE + 250)
    for (const key of [KEY, SAME_PARTITION, OTHER_PARTITION]) expect(spanNow(key)).toEqual([-1_750, 2_250])
    expect(times.now(SAME_PARTITION)?.clock).toBe(times.now(KEY)?.clock)
    expect(times.now(OTHER_PARTITION)?.clock).not.toBe(times.now(KEY)?.clock)
    expect(times.at(KEY, etagOf(SERVICE))?.clock).toBe(times.now(KEY)?.clock)
  })

  test.each([-3_000, 4_000])("is left out while its ETags are %d ms off", (offMs) => {
    answer(SERVICE)
    write(KEY, SERVICE + offMs)
    expect(times.now(KEY)).toBeUndefined()
    expect(times.at(KEY, etagOf(SERVICE))).toBeUndefined()
    expect(spanNow(OTHER_PARTITION)).toEqual([-2_000, 3_000])
  })

  test("is known again once an ETag fits, and the clock has passed the times that it had before", async () => {
    answer(SERVICE)
    write(KEY, SERVICE + 60_000)
    write(KEY, SERVICE + 500)
    expect(times.now(KEY)).toBeUndefined()
    await runtime.advance(60_000)
    expect(times.now(KEY)).toBeDefined()
  })

  test("gives no time to a row from the future", () => {
    answer(SERVICE)
    expect(spanAt(KEY, SERVICE + 3_000)).toEqual([3_000, 3_000])
    expect(times.at(KEY, etagOf(SERVICE + 3_001))).toBeUndefined()
  })

  test("counts the time of a slow request", async () => {
    answer(SERVICE)
    const sent = times.moment()
    await runtime.advance(10_000)
    times.written(KEY, sent, etagOf(SERVICE + 1_000))
    const [earliest = 0, latest = 0] = spanNow(KEY) ?? []
    expect(earliest).toBeLessThanOrEqual(10_000)
    expect(latest).toBeGreaterThanOrEqual(11_000)
  })
})
