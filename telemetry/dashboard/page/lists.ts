import { formatAge, formatRate, formatShare, plural } from "../../../tiers/util/format.ts"
import type { ProcessReport } from "../report.ts"
import { h, say, set } from "./elements.ts"
import { recent, type StoreHistory } from "./history.ts"
import { errors, l1Answered, l1Asked, requests } from "./measures.ts"

/** An entry of a list, a link if it has an address. */
interface Item {
  state: string
  name: string
  detail: string
  address?: string
}

/** Returns a function that fills a list. It changes only what differs, so that focus and selection stay where they are. */
export function listIn(list: Element): (items: readonly Item[]) => void {
  let made: { key: string; holder: HTMLElement; name: HTMLElement; detail: HTMLElement }[] = []
  return (items) => {
    const keys = items.map(({ name, address }) => `${address} ${name}`)
    if (JSON.stringify(keys) !== JSON.stringify(made.map(({ key }) => key))) {
      made = items.map(({ address }, index) => {
        const [name, detail] = [h("b", {}), h("span", {})]
        const holder =
          address === undefined ? h("li", {}, name, detail) : h("a", { href: address }, name, detail)
        return { key: keys[index] ?? "", holder, name, detail }
      })
      list.replaceChildren(
        ...made.map(({ holder }, index) =>
          items[index]?.address === undefined ? holder : h("li", {}, holder),
        ),
      )
    }
    items.forEach((item, index) => {
      const place = made[index]
      if (place === undefined) return
      set(place.holder, "class", item.state)
      say(place.name, item.name)
      say(place.detail, item.detail)
    })
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

export function storeItem(store: StoreHistory, address: string): Item {
  return { state: isFailing(store) ? "failing" : "", name: store.name, detail: detailOf(store), address }
}

function detailOf(store: StoreHistory): string {
  if (store.members.length === 0) return "closed"
  const rates = recent(store)
  if (rates === undefined) return ""
  return `L1 ${formatShare(l1Answered(rates), l1Asked(rates))} · ${formatRate(requests(rates))} /s`
}

export function isFailing(store: StoreHistory): boolean {
  const rates = recent(store)
  return store.members.length > 0 && rates !== undefined && errors(rates) > 0
}
