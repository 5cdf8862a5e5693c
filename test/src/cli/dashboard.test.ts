import { once } from "node:events"
import { createServer } from "node:http"
import { PassThrough, Readable } from "node:stream"
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest"
import { demonstrate } from "../../../examples/start/demonstration.ts"
import { run } from "../../../src/cli/program.ts"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { type Built, build, shell } from "../../support/built.ts"
import { testWith } from "../../support/commands.ts"
import { otherProcess, storeReport } from "../../support/dashboard-fixture.ts"

const TOKEN = "0123456789abcdef"

afterEach(() => vi.unstubAllEnvs())

/** Runs a command line that serves. Returns its first output, and a function that ends it as Ctrl-C does. */
async function start(...args: string[]) {
  const others = process.listeners("SIGINT")
  const [stdout, stderr] = [new PassThrough({ encoding: "utf8" }), new PassThrough({ encoding: "utf8" })]
  let advice = ""
  stderr.on("data", (text) => {
    advice += text
  })
  const ended = run(args, { stdin: Readable.from([]), stdout, stderr })
  const early = ended.then((code) => `exit code ${code}: ${advice}`)
  const printed = await Promise.race([once(stdout, "data").then(([text]) => String(text)), early])
  const end = () => {
    for (const listener of process.listeners("SIGINT")) if (!others.includes(listener)) listener("SIGINT")
    return ended
  }
  return { url: printed.trim(), advice: () => advice, end }
}

async function fails(...args: string[]): Promise<string> {
  const stderr = new PassThrough({ encoding: "utf8" })
  const exitCode = await run(args, { stdin: Readable.from([]), stdout: new PassThrough(), stderr })
  return `${exitCode} ${stderr.read()}`
}

describe("tiered-kv dashboard", () => {
  test("prints its address, shows the processes that it is given, and ends with Ctrl-C", async () => {
    const other = await otherProcess("web-1", storeReport("cache"))
    const served = await start("dashboard", "--port", "0", other.url)
    expect(served.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/)
    const report = JSON.parse(await (await fetch(`${served.url}stats.json`)).text())
    expect(report.processes).toEqual([expect.objectContaining({ id: "web-1", url: other.url })])
    expect(await served.end()).toBe(0)
    expect(served.advice()).toBe("Ctrl-C ends it.\n")
    await expect(fetch(served.url)).rejects.toThrow()
  })

  test("without an address says where the page tells more", async () => {
    const served = await start("dashboard", "--port", "0")
    expect(JSON.parse(await (await fetch(`${served.url}stats.json`)).text()).processes).toEqual([])
    expect(await served.end()).toBe(0)
    expect(served.advice()).toContain("No process was named")
  })

  test("asks for the token that it is given, and sends it to the others but to those that have their own", async () => {
    const [one, two] = [await otherProcess("one"), await otherProcess("two")]
    vi.stubEnv("TIERED_KV_DASHBOARD_TOKEN", TOKEN)
    const served = await start("dashboard", "--port", "0", one.url, `${two.url}?token=its-own-token-16`)
    expect(served.url).toMatch(new RegExp(`\\?token=${TOKEN}$`))
    const address = new URL("stats.json", served.url)
    expect((await fetch(address)).status).toBe(401)
    expect((await fetch(address, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200)
    expect(one.requests[0]?.authorization).toBe(`Bearer ${TOKEN}`)
    expect(two.requests[0]?.authorization).toBe("Bearer its-own-token-16")
    expect(await served.end()).toBe(0)
  })

  test("makes a token up where other machines can reach it, and sends that to nobody", async () => {
    const other = await otherProcess("one")
    const served = await start("dashboard", "--host", "0.0.0.0", "--port", "0", other.url)
    const { searchParams, port } = new URL(served.url)
    expect(searchParams.get("token")).toMatch(/^[\w-]{24}$/)
    const address = `http://127.0.0.1:${port}/stats.json`
    expect((await fetch(address)).status).toBe(401)
    const headers = { authorization: `Bearer ${searchParams.get("token")}` }
    expect((await fetch(address, { headers })).status).toBe(200)
    expect(other.requests).toEqual([{ url: "/stats.json?scope=process&steps=0", authorization: undefined }])
    expect(await served.end()).toBe(0)
    expect(served.advice()).toContain("made up for this run")
  })

  test("refuses options that cannot be", async () => {
    expect(await fails("dashboard", "web-1:3000x/kv")).toMatch(/^2 .*http/)
    expect(await fails("dashboard", "not a url")).toMatch(
      /^2 tiered-kv: USAGE: a process is named by its URL/,
    )
    expect(await fails("dashboard", "ftp://127.0.0.1/")).toMatch(/^2 tiered-kv: INVALID_OPTION/)
    expect(await fails("dashboard", "--token", "short")).toMatch(/^2 tiered-kv: INVALID_OPTION: token has/)
    expect(await fails("dashboard", "--port", "65536")).toMatch(/^2 .*It is not a port/)
    expect(await fails("dashboard", "--host", "203.0.113.1", "--port", "0")).toMatch(
      /^2 .*EADDRNOTAVAIL.*--host/,
    )
  })

  test("says which port is taken, and what to do", async () => {
    const taken = createServer()
    const port = await listenOnLoopback(taken)
    onTestFinished(() => void taken.close())
    expect(await fails("dashboard", "--port", String(port))).toMatch(
      new RegExp(
        `^2 tiered-kv: USAGE: cannot listen on 127.0.0.1, port ${port} \\(EADDRINUSE\\); name another --port`,
      ),
    )
  })
})

test("the demonstration serves the dashboard of its own stores while it runs", async () => {
  let shown = ""
  let report: Promise<string> | undefined
  const stdout = new PassThrough({ encoding: "utf8" })
  stdout.on("data", (text) => {
    shown += text
    const [, url] = /Live page: (\S+)/.exec(shown) ?? []
    if (url !== undefined) report ??= fetch(`${url}stats.json`).then((response) => response.text())
  })
  const options = { readers: 4, seconds: 0.3, seed: 1, exponent: 1, l1Entries: 100, dashboardPort: 0 }
  await demonstrate(options, { stdin: Readable.from([]), stdout, stderr: stdout })
  expect(JSON.parse((await report) ?? "{}").processes).toEqual([
    expect.objectContaining({ name: "npm start" }),
  ])
  await expect(fetch(/Live page: (\S+)/.exec(shown)?.[1] ?? "")).rejects.toThrow()
})

describe("as built", () => {
  let built: Built
  beforeAll(async () => {
    built = await build()
  })
  afterAll(() => built.remove())

  testWith(
    ["bash", "cat", "curl", "grep", "sleep"],
    "npm start -- --dashboard keeps reading until Ctrl-C",
    async () => {
      const port = await freePort()
      const commands = [
        `"$NODE" "$START" --dashboard ${port} > out & P=$!`,
        // Both runs of a demonstration without the page would be over by then.
        `until curl -sf http://127.0.0.1:${port}/stats.json | grep -q '"hits":[1-9][0-9]\\{5\\}'; do sleep 0.1; done`,
        'kill -INT $P; wait $P; echo "code $?"; cat out',
      ]
      const environment = { NODE: process.execPath, START: built.file("examples/start.js") }
      const { stdout } = await shell(commands.join("\n"), built.folder, environment)
      expect(stdout).toContain(`Live page: http://127.0.0.1:${port}/`)
      expect(stdout).toContain("Reading until Ctrl-C with L1")
      expect(stdout).toMatch(/^code 130$/m)
    },
  )
})
