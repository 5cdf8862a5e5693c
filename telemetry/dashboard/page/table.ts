import { h, say } from "./elements.ts"

export interface Column {
  label: string
  /** Aligned to the left, as text; otherwise to the right, as a number. */
  text?: boolean
}

export interface Table {
  element: HTMLTableElement
  /** One array a row. */
  cells: readonly (readonly HTMLTableCellElement[])[]
  fill(rows: readonly (readonly string[])[]): void
}

/** A table with a caption for screen readers alone; the first cell of a row is its header. */
export function table(caption: string, columns: readonly Column[]): Table {
  const body = h("tbody", {})
  const cells: HTMLTableCellElement[][] = []
  const head = columns.map(({ label, text }) => h("th", { scope: "col", class: classOf(text) }, label))
  const element = h(
    "table",
    {},
    h("caption", { class: "hidden" }, caption),
    h("thead", {}, h("tr", {}, ...head)),
    body,
  )

  function addRow(): HTMLTableCellElement[] {
    const row = columns.map(({ text }, index) =>
      index === 0 ? h("th", { class: classOf(text), scope: "row" }) : h("td", { class: classOf(text) }),
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
      const row = cells[index] ?? addRow()
      texts.forEach((text, column) => {
        const cell = row[column]
        if (cell !== undefined) say(cell, text)
      })
    })
  }

  return { element, cells, fill }
}

function classOf(text: boolean | undefined): string {
  return text === true ? "text" : "number"
}
