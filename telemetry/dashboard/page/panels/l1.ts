import { plural } from "../../../../tiers/util/format.ts"
import { h, say } from "../elements.ts"
import { L1_EVENTS } from "../measures.ts"
import { eventsTable, frame, type Panel } from "./panel.ts"

export function l1Panel(): Panel {
  const absent = h("p", { class: "note" })
  const events = eventsTable("L1 since the store was opened", "L1", L1_EVENTS)
  const { element } = frame("What L1 did", "", events.element, absent)
  return {
    element,
    update(store) {
      const negatives = store.members.reduce((total, { store }) => total + store.l1.negatives, 0)
      say(absent, `Besides its entries, ${plural(negatives, "key is", "keys are")} known to be absent.`)
      events.update(store)
    },
  }
}
