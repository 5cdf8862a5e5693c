import { describe, expect, test, vi } from "vitest"
import { dashboard, nodeListener } from "../../../telemetry/dashboard/handler.ts"
import { freePort } from "../../servers/server.ts"
import {
  get,
  LOCAL,
  openStore,
  otherProcess,
  reportOf,
  serve,
  serveDashboard,
  storeReport,
  TOKEN,
} from "../../support/dashboard-fixture.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

describe("other processes", () => {
  test("are asked for their own stores, with their token, and shown beside this one", async () => {
    await openStore("here")
    const one = await otherProcess("one", storeReport("there"))
    const two = await otherProcess("two", storeReport("there"))
    const { processes } = await reportOf({ processes: [one.url, { url: `${two.url}kv?x=1`, token: TOKEN }] })
    expect(processes.map((process) => process.url)).toEqual([undefined, one.url, `${two.url}kv`])
    expect(processes[2]?.stores?.[0]?.name).toBe("there")
    expect(one.requests).toEqual([{ url: "/stats.json?scope=process&steps=0", authorization: undefined }])
    expect(two.requests).toEqual([
      { url: "/kv/stats.json?scope=process&steps=0", authorization: `Bearer ${TOKEN}` },
    ])
  })

  test("are asked once each where two show each other", async () => {
    let asked = 0
    let listener = nodeListener(dashboard())
    const one = await serve((incoming, outgoing) => {
      asked++
      listener(incoming, outgoing)
    })
    const two = await serveDashboard(dashboard({ processes: [one] }))
    listener = nodeListener(dashboard({ processes: [two] }))
    const report = JSON.parse(await (await fetch(`${two}stats.json`)).text())
    expect([report.processes.length, asked]).toEqual([1, 1])
  })

  test("are shown once where two addresses lead to them, this one included", async () => {
    const url = await serveDashboard(dashboard())
    const other = await otherProcess("one")
    const { processes } = await reportOf({ processes: [url, other.url, other.url] })
    expect(processes.map(({ url }) => url)).toEqual([undefined, other.url])
  })

  test("are asked once for all requests at the same time", async () => {
    const other = await otherProcess("one")
    const handler = dashboard({ processes: [other.url] })
    const ask = () => handler(new Request("http://localhost/stats.json"), LOCAL)
    await Promise.all([ask(), ask(), ask()])
    expect(other.requests).toHaveLength(1)
    await ask()
    expect(other.requests).toHaveLength(2)
  })

  const failing = (status: number, body = "", headers = {}) =>
    serve((_incoming, outgoing) => outgoing.writeHead(status, headers).end(body))
  test.each([
    [
      "has no listener",
      async () => `http://127.0.0.1:${await freePort()}/`,
      "Nothing listens there (ECONNREFUSED)",
    ],
    [
      "asks for a token",
      () => serveDashboard(dashboard({ token: TOKEN })),
      "It requires a token, or another one (401)",
    ],
    ["has no dashboard", () => failing(404), "There is no dashboard at this address (404)"],
    ["fails", () => failing(500), "It answered with the status 500"],
    ["is another server", () => failing(200, "<html>"), "is not a report of this version"],
    [
      "has other numbers",
      () => failing(200, '{"version":2,"processes":[{"id":"a"}]}'),
      "is not a report of this version",
    ],
    [
      "is of another version",
      () => failing(200, '{"version":1,"processes":[]}'),
      "is not a report of this version",
    ],
    ["never stops", () => failing(200, "x".repeat(5 * 1024 * 1024)), "too long for a report"],
    ["breaks off", () => serve((incoming) => incoming.socket.destroy()), "(UND_ERR_SOCKET)"],
  ])("are shown beside one that %s, with the reason", async (_what, start, failure) => {
    const url = await start()
    const other = await otherProcess("one")
    const { processes } = await reportOf({ own: false, processes: [url, other.url] })
    expect(processes).toEqual([
      { url, failure: expect.stringContaining(failure) },
      expect.objectContaining({ id: "one", url: other.url }),
    ])
  })

  test("that redirect are not followed, so that no other server gets the token", async () => {
    const elsewhere = await otherProcess("elsewhere")
    const url = await failing(302, "", { location: elsewhere.url })
    const { processes } = await reportOf({ own: false, processes: [{ url, token: TOKEN }] })
    expect(processes[0]?.failure).toContain("It redirects (302)")
    expect(elsewhere.requests).toEqual([])
  })

  test("without an answer within timeoutMs are reported as such", async () => {
    const asked = vi.fn()
    const url = await serve(asked)
    const runtime = testRuntime()
    const answer = reportOf({ own: false, processes: [url], timeoutMs: 300, runtime })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    await runtime.advance(299)
    await settle()
    await runtime.advance(1)
    expect((await answer).processes).toEqual([{ url, failure: "It did not answer within 300 ms" }])
  })

  test("are shown without the credentials in their addresses", async () => {
    const port = await freePort()
    const url = `http://user:secret@127.0.0.1:${port}/kv/?token=${TOKEN}`
    const text = await (await get("/stats.json", { processes: [url] })).text()
    expect(text).toContain(`http://127.0.0.1:${port}/kv/`)
    expect(text).not.toMatch(/user|secret|0123456789/)
  })
})
