import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type ServerReport, TABLE_FILE } from "./report.ts"

/** Vitest's global set-up: prints, when a run is over, which backend was tested against which server. */
export default function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), "tiered-kv-servers-"))
  const file = join(folder, "reports.jsonl")
  process.env[TABLE_FILE] = file
  return () => {
    if (existsSync(file)) process.stdout.write(`\n${renderTable(readFileSync(file, "utf8"))}\n`)
    rmSync(folder, { recursive: true })
  }
}

function renderTable(lines: string): string {
  const reports = [...new Set(lines.trimEnd().split("\n"))].map((line): ServerReport => JSON.parse(line))
  const rows = reports
    .map(({ backend, server, version, note }) => [
      backend,
      [server, version].filter(Boolean).join(" "),
      note ?? "",
    ])
    .sort(([a = ""], [b = ""]) => a.localeCompare(b))
  const table = [["backend", "tested against", ""], ...rows]
  const widths = [0, 1].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("   ")
        .trimEnd(),
    )
    .join("\n")
}
