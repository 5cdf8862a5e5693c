import { formatBytes, formatCount, plural } from "../../../../tiers/util/format.ts"
import { meter } from "../charts/meter.ts"
import { h, say } from "../elements.ts"
import { recent } from "../history.ts"
import { L1_EVENTS } from "../measures.ts"
import { eventsTable, frame, type Panel } from "./panel.ts"

export function l1Panel(): Panel {
  const entries = meter("Entries")
  const size = meter("Bytes")
  const absent = h("p", { class: "note" })
  const events = eventsTable("L1 since the store was opened", "L1", L1_EVENTS)
  const { element } = frame("What L1 holds", "", entries.element, size.element, absent, events.element)
  return {
    element,
    update(store, totals) {
      const l1s = store.members.map((member) => member.store.l1)
      const all = (of: (l1: (typeof l1s)[number]) => number) => l1s.reduce((total, l1) => total + of(l1), 0)
      const [held, limit] = [all((l1) => l1.entries), all((l1) => l1.maxEntries)]
      const [used, maxBytes] = [all((l1) => l1.bytes), all((l1) => l1.maxBytes)]
      const negatives = all((l1) => l1.negatives)
      entries.show(held, limit, limit === 0 ? "L1 is off" : `${formatCount(held)} of ${formatCount(limit)}`)
      size.show(
        used,
        maxBytes,
        maxBytes === 0 ? "L1 is off" : `${formatBytes(used)} of ${formatBytes(maxBytes)}`,
      )
      say(absent, `Besides, ${plural(negatives, "key is", "keys are")} known to be absent.`)
      events.update(recent(store), totals)
    },
  }
}
