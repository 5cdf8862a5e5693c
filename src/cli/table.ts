/**
 * A plain-text table without colours, so that it can be pasted and diffed. Two spaces separate the columns; the first is aligned to
 * the left, the others to the right. A rule follows the header.
 */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(...[title, ...rows.map((row) => row[column] ?? "")].map(width)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => pad(cell, widths[column] ?? 0, column > 0))
      .join("  ")
      .trimEnd()
  return [line(header), line(widths.map((length) => "─".repeat(length))), ...rows.map(line)].join("\n")
}

function pad(cell: string, length: number, right: boolean): string {
  const filling = " ".repeat(Math.max(0, length - width(cell)))
  return right ? filling + cell : cell + filling
}

function width(cell: string): number {
  return [...cell].length
}
