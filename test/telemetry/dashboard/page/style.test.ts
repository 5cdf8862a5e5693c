import { readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { RESULTS, TIERS } from "../../../../telemetry/dashboard/page/measures.ts"

const style = readFileSync(new URL("../../../../telemetry/dashboard/page/style.css", import.meta.url), "utf8")

describe("colours", () => {
  const [light = "", dark = ""] = style.split("prefers-color-scheme: dark")
  test.each([
    ["light", light],
    ["dark", dark],
  ])("in the %s stand out: text at 4.5:1, charts at 3:1", (_name, css) => {
    const colours = new Map(
      [...css.matchAll(/--([a-z0-9-]+): (#[0-9a-f]{3,6})/g)].map(([, name = "", hex = ""]) => [name, hex]),
    )
    const contrast = (name: string, ground: string) => {
      const [lighter = 0, darker = 0] = [colours.get(name), colours.get(ground)]
        .map(luminance)
        .sort((a, b) => b - a)
      return (lighter + 0.05) / (darker + 0.05)
    }
    for (const ground of ["card", "ground", "error-ground"]) {
      for (const text of ["text", "soft"])
        expect(contrast(text, ground), `${text} on ${ground}`).toBeGreaterThan(4.5)
    }
    for (const text of ["error", "warning"]) expect(contrast(text, "card")).toBeGreaterThan(4.5)
    expect(contrast("error", "error-ground")).toBeGreaterThan(4.5)
    for (const { className } of [...RESULTS, ...TIERS]) {
      expect(contrast(className, "card"), className).toBeGreaterThan(3)
    }
  })
})

/** Relative luminance, as WCAG defines it. */
function luminance(hex = ""): number {
  const digits =
    hex.length === 4 ? [...hex.slice(1)].map((digit) => digit + digit) : hex.slice(1).match(/../g)
  const [r = 0, g = 0, b = 0] = (digits ?? []).map((pair) => {
    const share = Number.parseInt(pair, 16) / 255
    return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}
