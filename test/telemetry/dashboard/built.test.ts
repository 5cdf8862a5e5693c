import { execFile } from "node:child_process"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build as bundle } from "rolldown"
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from "vitest"
import { accepts, freePort, startProcess } from "../../servers/server.ts"
import { openPage, requireBrowser } from "../../support/browser.ts"
import { type Built, build } from "../../support/built.ts"

/** The dashboard as `npm run build` leaves it. */

const CHILD = fileURLToPath(new URL("../../support/children/dashboard-process.mjs", import.meta.url))

let built: Built
let folder: string

beforeAll(async () => {
  built = await build()
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-bundled-"))
})
afterAll(async () => {
  await built.remove()
  await rm(folder, { recursive: true })
})

test.each(["esm", "cjs"] as const)("a bundle in %s serves the page from its one file", async (format) => {
  const entry = join(built.folder, "app.mjs")
  const file = join(folder, format, format === "esm" ? "app.mjs" : "app.cjs")
  await writeFile(
    entry,
    `import { dashboard } from ${JSON.stringify(built.file("telemetry/dashboard/handler.js"))}
     const request = new Request("http://localhost/ops/kv/")
     dashboard()(request, { remoteAddress: "127.0.0.1" }).then((response) => response.text()).then(console.log)`,
  )
  await bundle({ input: entry, platform: "node", output: { format, file } })
  expect(await readdir(join(folder, format))).toHaveLength(1)

  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder })
  expect(stdout).toMatch(/^<!doctype html>.*<style>.+<\/style>.*<script>"use strict";.+<\/script>/s)
})

async function startChild(port: number, reads: number) {
  const args = [CHILD, built.file("."), String(port), String(reads)]
  const child = await startProcess(process.execPath, args, {
    ready: () => accepts(port),
    remedy: "install Node",
  })
  onTestFinished(() => child.stop())
  return child
}

await requireBrowser((browser) => {
  test("the page sums separate processes, continues without one, and includes it again after its restart", async () => {
    const [one, two, own] = [await freePort(), await freePort(), await freePort()]
    const [first] = [await startChild(one, 101), await startChild(two, 51)]
    const urls = [one, two].map((port) => `http://127.0.0.1:${port}/`)
    const args = [built.file("src/cli/main.js"), "dashboard", "--port", String(own), ...urls]
    const cli = await startProcess(process.execPath, args, {
      ready: () => accepts(own),
      remedy: "install Node",
    })
    onTestFinished(() => cli.stop())
    // The port accepts connections before the address is printed.
    await vi.waitFor(() => expect(cli.output()).toContain(`http://127.0.0.1:${own}/\n`))

    const page = await openPage(browser, `http://127.0.0.1:${own}/`)
    // Each also wrote one value.
    const written = (count: string) =>
      page
        .getByRole("row", { name: /^Written / })
        .getByText(count, { exact: true })
        .first()
        .waitFor()
    await written("2")
    await page.getByText("By process (2)").click()
    expect(
      await page.getByRole("table", { name: "By process" }).getByRole("rowheader").allTextContents(),
    ).toEqual([`child ${one} · ${urls[0]}`, `child ${two} · ${urls[1]}`])

    await first?.stop()
    await page.getByText("1 process not answering").waitFor()
    await written("1")

    await startChild(one, 11)
    await written("2")
    expect(await page.getByRole("status").textContent()).toBe("Live")
  })
})
