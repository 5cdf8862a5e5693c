import type { ProcessReport } from "../report.ts"
import type { PageElement } from "./dom.ts"
import type { Elements } from "./elements.ts"
import type { Formats } from "./format.ts"
import type { Histories, StoreHistory } from "./history.ts"
import type { Measures } from "./measures.ts"

/** Of what is listed: an address leads there. */
export interface Item {
  state: string
  name: string
  detail: string
  address?: string
}

/** The lists at the top of the page. Part of its script: it names nothing outside itself. */
export function listsOf(
  { h, say, set }: Elements,
  { age, plural, rate, ratio }: Formats,
  histories: Histories,
  { errors, l1Answered, l1Asked, requests }: Measures,
) {
  /** A list that changes what differs, so that focus and selection stay where they are. */
  function listIn(list: PageElement) {
    let made: { key: string; holder: PageElement; name: PageElement; detail: PageElement }[] = []
    return (items: readonly Item[]): void => {
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

  function processItem(one: ProcessReport): Item {
    if ("failure" in one) return { state: "silent", name: one.url, detail: `Not answering. ${one.failure}.` }
    const where = one.url ?? "serves this page"
    const stores = plural(one.stores.length, "store", "stores")
    return { state: "answering", name: one.name, detail: `${where} · ${stores} · up ${age(one.uptimeMs)}` }
  }

  function isFailing(store: StoreHistory): boolean {
    const rates = histories.recent(store)
    return store.members.length > 0 && rates !== undefined && errors(rates) > 0
  }

  function storeItem(store: StoreHistory, address: string): Item {
    const rates = histories.recent(store)
    const detail =
      store.members.length === 0
        ? "closed"
        : rates === undefined
          ? ""
          : `L1 ${ratio(l1Answered(rates), l1Asked(rates))} · ${rate(requests(rates))} /s`
    return { state: isFailing(store) ? "failing" : "", name: store.name, detail, address }
  }

  return { listIn, processItem, storeItem, isFailing }
}
