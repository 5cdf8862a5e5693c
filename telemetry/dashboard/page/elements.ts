import type { PageDocument, PageElement } from "./dom.ts"

type Child = PageElement | string

export interface Column {
  label: string
  /** Shown at the left, as text; otherwise at the right, as a number. */
  text?: boolean
}

/** Makes elements; text goes in as text alone. Part of the page's script: it names nothing outside itself. */
export function elementsOf(document: PageDocument) {
  /** An HTML element: `h("p", { class: "note" }, "text")`. */
  function h(tag: string, attributes: Readonly<Record<string, string>>, ...children: Child[]): PageElement {
    return complete(document.createElement(tag), attributes, children)
  }

  /** The same in SVG. */
  function svg(tag: string, attributes: Readonly<Record<string, string>>, ...children: Child[]): PageElement {
    return complete(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children)
  }

  function complete(
    element: PageElement,
    attributes: Readonly<Record<string, string>>,
    children: readonly Child[],
  ): PageElement {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
    element.append(...children)
    return element
  }

  /** Sets a text that differs, so that what a reader has selected or listens to is left alone. */
  function say(element: PageElement, text: string): void {
    if (element.textContent !== text) element.textContent = text
  }

  /** The same for an attribute. */
  function set(element: PageElement, attribute: string, value: string): void {
    if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value)
  }

  /** A table with a caption that is heard and not seen; `fill` gives it its rows, each headed by its first cell. */
  function table(caption: string, columns: readonly Column[]) {
    const body = h("tbody", {})
    const cells: PageElement[][] = []
    const head = columns.map(({ label, text }) =>
      h("th", { scope: "col", class: text === true ? "text" : "number" }, label),
    )
    const element = h(
      "table",
      {},
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, ...head)),
      body,
    )
    const makeRow = () => {
      const row = columns.map(({ text }, index) =>
        h(index === 0 ? "th" : "td", {
          class: text === true ? "text" : "number",
          ...(index === 0 ? { scope: "row" } : {}),
        }),
      )
      body.append(h("tr", {}, ...row))
      cells.push(row)
      return row
    }
    function fill(rows: readonly (readonly string[])[]): void {
      if (rows.length < cells.length) {
        cells.length = 0
        body.replaceChildren()
      }
      rows.forEach((texts, index) => {
        const row = cells[index] ?? makeRow()
        texts.forEach((text, column) => {
          const cell = row[column]
          if (cell !== undefined) say(cell, text)
        })
      })
    }
    return { element, fill, cells }
  }

  return { h, svg, say, set, table }
}

export type Elements = ReturnType<typeof elementsOf>
