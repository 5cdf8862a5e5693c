import { formatAge, plural } from "../../../tiers/util/format.ts"
import type { ProcessReport } from "../report.ts"
import { h, say, set } from "./elements.ts"

/** An entry of a list. */
interface Item {
  state: string
  name: string
  detail: string
}

/** Returns a function that fills a list. It changes only what differs, so that a selection stays. */
export function listIn(list: Element): (items: readonly Item[]) => void {
  const made: { holder: HTMLElement; name: HTMLElement; detail: HTMLElement }[] = []
  return (items) => {
    while (made.length > items.length) made.pop()?.holder.remove()
    items.forEach((item, index) => {
      const place = made[index] ?? add()
      set(place.holder, "class", item.state)
      say(place.name, item.name)
      say(place.detail, item.detail)
    })
  }

  function add() {
    const [name, detail] = [h("b", {}), h("span", {})]
    const place = { holder: h("li", {}, name, detail), name, detail }
    list.append(place.holder)
    made.push(place)
    return place
  }
}

export function processItem(one: ProcessReport): Item {
  if ("failure" in one) return { state: "silent", name: one.url, detail: `Not answering. ${one.failure}.` }
  const where = one.url ?? "serves this page"
  const stores = plural(one.stores.length, "store", "stores")
  return {
    state: "answering",
    name: one.name,
    detail: `${where} · ${stores} · up ${formatAge(one.uptimeMs)}`,
  }
}
