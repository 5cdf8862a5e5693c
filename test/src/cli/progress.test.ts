import { PassThrough } from "node:stream"
import { expect, test } from "vitest"
import { progressBar } from "../../../src/cli/progress.ts"

function terminal(columns: number, isTTY = true) {
  const stderr = Object.assign(new PassThrough({ encoding: "utf8" }), { isTTY, columns })
  const io = { stdin: new PassThrough(), stdout: new PassThrough(), stderr }
  return { io, drawn: () => stderr.read() ?? "" }
}

test("the bar shows the share that is done, and is erased at the end", () => {
  const { io, drawn } = terminal(80)
  const bar = progressBar(io, "replaying", 200)
  bar.update(50, "12 a second")
  expect(drawn()).toBe(`\r${`replaying  ${"█".repeat(8)}${"░".repeat(22)} 25 %  12 a second`}\u001B[K`)
  bar.stop()
  expect(drawn()).toBe("\r\u001B[K")
})

test("a narrow terminal gets one line, and more than the total is 100 %", () => {
  const { io, drawn } = terminal(50)
  progressBar(io, "replaying", 1).update(2, "a long note")
  expect(drawn()).toBe(`\rreplaying  ${"█".repeat(30)} 100 %  \u001B[K`)
})

test("standard error that is no terminal gets nothing", () => {
  const { io, drawn } = terminal(80, false)
  const bar = progressBar(io, "replaying", 1)
  bar.update(1, "")
  bar.stop()
  expect(drawn()).toBe("")
})
