import { expect, test } from "vitest"
import { toLine, toPrintable } from "../../../src/cli/show.ts"

test("a line holds any value; a terminal gets only what cannot command it", () => {
  const bytes = (text: string) => Buffer.from(text)
  expect(toLine(bytes("a\tb\n\\ü\u0000\u009b\u2028"))).toBe("a\\tb\\n\\\\ü\\u0000\\u009b\\u2028")
  expect(toLine(Uint8Array.of(0xff))).toBe("base64:/w==")
  expect(toPrintable(bytes("line\n\tübung\r\n"))).toBe("line\n\tübung\r\n")
  for (const commanding of ["\u001b[2J", "\u009b2J", "\u0007", "\u007f"]) {
    expect(toPrintable(bytes(commanding))).toBeUndefined()
  }
  expect(toPrintable(Uint8Array.of(0xc3, 0x28))).toBeUndefined()
})
