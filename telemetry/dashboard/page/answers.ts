import {
  formatBytes,
  formatCount,
  formatDuration,
  formatRate,
  formatShare,
  NONE,
  plural,
} from "../../../tiers/util/format.ts"
import type { Chart } from "./charts/chart.ts"
import { meter } from "./charts/meter.ts"
import { spark } from "./charts/spark.ts"
import { h, say, set } from "./elements.ts"
import type { Point, StoreHistory } from "./history.ts"
import { listIn } from "./lists.ts"
import { errors, l1Answered, l1Asked, TIERS } from "./measures.ts"
import type { TimeView } from "./time-view.ts"
import { currentErrors, healthOf, roomOf, speedOf, type Verdict } from "./verdicts.ts"

/** The answer to one question about a store. */
export interface Answer {
  element: Element
  update(store: StoreHistory, nowMs: number): void
}

/** The three that the page is opened for. */
export function answers(time: TimeView): Answer[] {
  return [speed(time), room(time), health(time)]
}

function speed(time: TimeView): Answer {
  const [p50, p99] = [big("p50"), big("p99")]
  const list = h("ul", { class: "facts" })
  const fill = listIn(list)
  const parts = [h("div", { class: "bigs" }, p50.element, p99.element), list]
  const card = answerCard("Are reads fast?", parts, {
    chart: spark(time, "l2-hit"),
    label: "p99 of reads",
    value: ({ times }) => times && (times.reads.count > 0 ? times.reads.p99Ms : undefined),
  })
  return {
    element: card.element,
    update(store, nowMs) {
      const { reads } = store.times
      say(p50.value, reads.count === 0 ? NONE : formatDuration(reads.p50Ms))
      say(p99.value, reads.count === 0 ? NONE : formatDuration(reads.p99Ms))
      fill(
        TIERS.map(({ label, latency }) => {
          const { count, p50Ms, p99Ms } = store.times[latency]
          const detail = count === 0 ? NONE : `${formatDuration(p50Ms)} · ${formatDuration(p99Ms)}`
          return { state: "", name: label, detail }
        }),
      )
      card.show(speedOf(store), store, nowMs)
    },
  }
}

function room(time: TimeView): Answer {
  const hits = big("of reads by L1")
  const entries = meter("Entries")
  const size = meter("Bytes")
  const parts = [h("div", { class: "bigs" }, hits.element), entries.element, size.element]
  const card = answerCard("Is L1 the right size?", parts, {
    chart: spark(time, "l1-hit", 1),
    label: "L1 hit ratio",
    value: ({ rates }) => (rates && l1Asked(rates) > 0 ? l1Answered(rates) / l1Asked(rates) : undefined),
  })
  return {
    element: card.element,
    update(store, nowMs) {
      say(hits.value, formatShare(l1Answered(store.recent), l1Asked(store.recent)))
      const l1s = store.members.map((member) => member.store.l1)
      const all = (of: (l1: (typeof l1s)[number]) => number) => l1s.reduce((total, l1) => total + of(l1), 0)
      const [held, limit] = [all((l1) => l1.entries), all((l1) => l1.maxEntries)]
      const [used, maxBytes] = [all((l1) => l1.bytes), all((l1) => l1.maxBytes)]
      entries.show(held, limit, limit === 0 ? "L1 is off" : `${formatCount(held)} of ${formatCount(limit)}`)
      const bytes = `${formatBytes(used)} of ${formatBytes(maxBytes)}`
      size.show(used, maxBytes, maxBytes === 0 ? "L1 is off" : bytes)
      card.show(roomOf(store), store, nowMs)
    },
  }
}

function health(time: TimeView): Answer {
  const perMinute = big("errors a minute")
  const list = h("ul", { class: "facts" })
  const fill = listIn(list)
  const card = answerCard("Is the backend well?", [h("div", { class: "bigs" }, perMinute.element), list], {
    chart: spark(time, "error"),
    label: "errors",
    value: ({ rates }) => rates && errors(rates),
  })
  return {
    element: card.element,
    update(store, nowMs) {
      const { members, recent } = store
      say(perMinute.value, members.length === 0 ? NONE : formatCount(errors(recent) * 60))
      const inFlight = members.reduce((total, member) => total + member.store.inFlight, 0)
      const quarantined = members.reduce((total, member) => total + member.store.quarantined, 0)
      const fact = (name: string, detail: string) => ({ state: "", name, detail })
      fill([
        ...currentErrors(store)
          .slice(0, 3)
          .map(({ type, operation, count }) => fact(`${type} in ${operation}`, formatCount(count))),
        fact("Under way", formatCount(inFlight)),
        fact(
          "Sent again, throttled",
          `${perSecond(recent["l2.retries"])}, ${perSecond(recent["l2.throttles"])}`,
        ),
        ...(quarantined > 0 ? [fact("In quarantine", plural(quarantined, "key", "keys"))] : []),
      ])
      card.show(healthOf(store), store, nowMs)
    },
  }
}

const perSecond = (rate: number) => `${formatRate(rate)} /s`

function big(unit: string) {
  const value = h("b", {})
  return { value, element: h("p", { class: "big" }, value, h("span", {}, ` ${unit}`)) }
}

interface Trend {
  chart: Chart
  label: string
  value(point: Point): number | undefined
}

function answerCard(question: string, parts: readonly Element[], { chart, label, value }: Trend) {
  const word = h("p", { class: "word" })
  const why = h("p", { class: "why" })
  const trend = h("p", { class: "since" }, label)
  const head = h("div", { class: "question" }, h("h3", {}, question), word)
  const element = h("div", { class: "answer" }, head, ...parts, why, chart.element, trend)

  function show(verdict: Verdict, store: StoreHistory, nowMs: number): void {
    set(element, "data-level", verdict.level)
    say(word, verdict.word)
    say(why, verdict.why)
    chart.draw(
      store.points().map((point) => ({ atMs: point.atMs, values: [value(point)] })),
      nowMs,
    )
  }

  return { element, show }
}
