import { L2_EVENTS } from "../measures.ts"
import { eventsTable, frame, type Panel } from "./panel.ts"

export function l2Panel(): Panel {
  const events = eventsTable("L2 and the loader since the store was opened", "L2 and loader", L2_EVENTS)
  const { element } = frame("What the backend and the loader did", "", events.element)
  return { element, update: (store) => events.update(store) }
}
