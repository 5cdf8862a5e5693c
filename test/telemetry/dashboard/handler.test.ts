import { createHash } from "node:crypto"
import { request as httpRequest, type IncomingMessage } from "node:http"
import { afterEach, describe, expect, test, vi } from "vitest"
import type { Kv } from "../../../src/api.ts"
import { kv } from "../../../src/kv.ts"
import { type DashboardOptions, dashboard, nodeListener } from "../../../telemetry/dashboard/handler.ts"
import type { AnsweringProcess, SilentProcess } from "../../../telemetry/dashboard/report.ts"
import { freePort } from "../../servers/server.ts"
import { otherProcess, serve, serveDashboard, storeReport } from "../../support/dashboard-fixture.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

const TOKEN = "0123456789abcdef"
const LOCAL = { remoteAddress: "127.0.0.1" }

const stores: Kv[] = []
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close()
})
async function openStore(name: string): Promise<Kv> {
  const store = await kv(name, { backend: "memory:" })
  stores.push(store)
  return store
}

function get(
  path: string,
  options: DashboardOptions = {},
  headers: Record<string, string> = {},
  peer = LOCAL,
) {
  return dashboard(options)(new Request(`http://localhost${path}`, { headers }), peer)
}

/** A process that answered or one that did not, whichever the test expects. */
type Reported = Partial<AnsweringProcess & SilentProcess>

async function reportOf(options: DashboardOptions): Promise<{ version: number; processes: Reported[] }> {
  return JSON.parse(await (await get("/stats.json", options)).text())
}

describe("the page", () => {
  test("is one document, whose policy lets its own script and style run and nothing else", async () => {
    const response = await get("/kv/")
    const body = await response.text()
    const policy = response.headers.get("content-security-policy") ?? ""
    const hashOf = (tag: string) => {
      const [, text = ""] = new RegExp(`<${tag}>([^]*)</${tag}>`).exec(body) ?? []
      return `'sha256-${createHash("sha256").update(text).digest("base64")}'`
    }
    expect(response.status).toBe(200)
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8")
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).toContain(`script-src ${hashOf("script")}`)
    expect(policy).toContain(`style-src ${hashOf("style")}`)
    expect(policy).not.toContain("unsafe")
    expect(body.match(/<script|<style|<link/g)).toHaveLength(3)
    expect(body).not.toMatch(/(src|href)="(https?:)?\/\//)
    expect(body).not.toMatch(/ style="| on[a-z]+="/)
  })

  test("is small", async () => {
    expect((await (await get("/")).text()).length).toBeLessThan(64 * 1024)
  })

  test.each(["/", "/stats.json", "/kv", "/nothing.txt"])(
    "%s is stored nowhere and guessed at by nobody",
    async (path) => {
      const { headers } = await get(path)
      expect(headers.get("cache-control")).toBe("no-store")
      expect(headers.get("x-content-type-options")).toBe("nosniff")
      expect(headers.get("x-frame-options")).toBe("DENY")
      expect(headers.get("referrer-policy")).toBe("no-referrer")
      expect(headers.get("content-security-policy")).toContain("default-src 'none'")
    },
  )

  test("asked for without its last slash is found with it, so that its numbers lie beside it", async () => {
    const { status, headers } = await get("/ops/kv")
    expect([status, headers.get("location")]).toEqual([303, "./kv/"])
  })

  test("answers GET and HEAD alone, and knows no other file", async () => {
    const handler = dashboard()
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
      const { status, headers } = await handler(new Request("http://localhost/", { method }), LOCAL)
      expect([status, headers.get("allow")]).toEqual([405, "GET, HEAD"])
    }
    const head = await handler(new Request("http://localhost/stats.json", { method: "HEAD" }), LOCAL)
    expect([head.status, await head.text()]).toEqual([200, ""])
    expect((await get("/favicon.ico")).status).toBe(404)
  })
})

describe("the report", () => {
  test("holds the numbers of every open store of the process", async () => {
    const cache = await openStore("cache")
    await openStore("quiet")
    await cache.set("a", "1")
    await cache.get("a")
    await cache.get("a")
    const { version, processes } = await reportOf({ name: "web-1" })
    expect(version).toBe(1)
    expect(processes).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        name: "web-1",
        uptimeMs: expect.any(Number),
        stores: [expect.objectContaining({ name: "cache" }), expect.objectContaining({ name: "quiet" })],
      },
    ])
    const [reported] = processes[0]?.stores ?? []
    const stats = cache.stats()
    expect(reported?.l1).toMatchObject({
      hits: 1,
      misses: 1,
      entries: 1,
      bytes: stats.l1.bytes,
      maxBytes: stats.l1.maxBytes,
    })
    expect(reported?.l2).toMatchObject({ hits: 1, misses: 0, writes: 1 })
    expect(reported?.backend).toEqual(stats.backend)
  })

  test("holds no key and no value", async () => {
    const cache = await openStore("cache")
    await cache.set("user:4711", "Secretly")
    await cache.get("user:4711")
    const text = await (await get("/stats.json")).text()
    expect(text).not.toMatch(/4711|Secretly/)
  })

  test("can stand in HTML, and names no credentials of a target", async () => {
    const target = "redis://user:pass@10.0.0.1/</script><script>\u2028"
    const other = await otherProcess("a", { ...storeReport("cache"), backend: { kind: "redis", target } })
    const text = await (await get("/stats.json", { processes: [other.url] })).text()
    expect(text).not.toMatch(/[<\u2028]|user:pass/)
    expect(JSON.parse(text).processes[1].stores[0].backend.target).toBe(
      "redis://10.0.0.1/</script><script>\u2028",
    )
  })

  test("holds nothing of another process but what it has itself", async () => {
    const other = await otherProcess("a", Object.assign(storeReport("cache"), { secret: "s3cret" }))
    const text = await (await get("/stats.json", { processes: [other.url] })).text()
    expect(text).toContain('"cache"')
    expect(text).not.toContain("s3cret")
  })
})

describe("without a token", () => {
  test.each([
    ["127.0.0.1", "http://127.0.0.1:3000/"],
    ["127.8.9.10", "http://127.0.0.1/"],
    ["::1", "http://[::1]:3000/"],
    ["::ffff:127.0.0.1", "http://localhost:3000/"],
    ["127.0.0.1", "http://web.localhost/"],
  ])("what comes from %s to %s is answered", async (remoteAddress, url) => {
    expect((await dashboard()(new Request(url), { remoteAddress })).status).toBe(200)
  })

  test.each([
    ["from another machine", "http://localhost/", { remoteAddress: "10.0.0.7" }, {}],
    ["from who knows where", "http://localhost/", undefined, {}],
    ["from who knows where, by a server that passes something else", "http://localhost/", {}, {}],
    ["to a name that was bound anew to this machine", "http://evil.example/", LOCAL, {}],
    ["to a name in its Host header alone", "http://localhost/", LOCAL, { host: "evil.example" }],
    ["to a name that only begins as localhost does", "http://localhost.evil.example/", LOCAL, {}],
    ["to a name that only begins as a loopback address does", "http://127.0.0.1.evil.example/", LOCAL, {}],
    ["to the address of the machine", "http://10.0.0.1/", LOCAL, {}],
    ["through a proxy", "http://localhost/", LOCAL, { "x-forwarded-for": "10.0.0.7" }],
    ["through a proxy of the newer kind", "http://localhost/", LOCAL, { forwarded: "for=10.0.0.7" }],
  ])("what comes %s is refused, and told why", async (_what, url, peer, headers) => {
    for (const path of ["", "stats.json"]) {
      const response = await dashboard()(new Request(`${url}${path}`, { headers }), peer)
      expect(response.status).toBe(403)
      expect(await response.text()).toMatch(/Not for everybody.*token/s)
    }
  })

  test("a server that is asked under a foreign name refuses, whatever the path says", async () => {
    const url = await serveDashboard(dashboard())
    const ask = (path: string, host: string) =>
      new Promise<IncomingMessage>((resolve, reject) =>
        httpRequest({ port: new URL(url).port, host: "127.0.0.1", path, headers: { host } }, resolve)
          .on("error", reject)
          .end(),
      )
    expect((await ask("/", "localhost")).statusCode).toBe(200)
    expect((await ask("/", "evil.example")).statusCode).toBe(403)
    expect((await ask("http://localhost/", "evil.example")).statusCode).toBe(400)
    expect((await ask("//evil.example/", "localhost")).statusCode).toBe(200)
    expect((await ask("/", "a b")).statusCode).toBe(400)
    expect((await ask("/", "user@localhost")).statusCode).toBe(400)
  })
})

describe("with a token", () => {
  const options = { token: TOKEN }
  const far = { remoteAddress: "10.0.0.7" }

  test("who brings it is answered, wherever from; who does not is not, even from here", async () => {
    expect((await get("/", options, { authorization: `Bearer ${TOKEN}` }, far)).status).toBe(200)
    expect((await get("/", options, { authorization: `bearer ${TOKEN}` }, far)).status).toBe(200)
    for (const authorization of [
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(1)}`,
      "Bearer",
      `Basic ${TOKEN}`,
      "",
    ]) {
      const response = await get("/stats.json", options, { authorization })
      expect(response.status).toBe(401)
      expect(response.headers.get("www-authenticate")).toMatch(/^Bearer /)
    }
    expect(await (await get("/", options)).text()).toContain('<input id="token" name="token" type="password"')
  })

  test("in the address it is exchanged for a cookie, which admits and does not hold it", async () => {
    const response = await get(`/kv/?token=${TOKEN}`, options, {}, far)
    const cookie = response.headers.get("set-cookie") ?? ""
    expect([response.status, response.headers.get("location")]).toEqual([303, "./"])
    expect(cookie).toMatch(/; HttpOnly; SameSite=Lax$/)
    expect(cookie).not.toContain(TOKEN)
    const session = { cookie: `other=1; ${cookie.split(";")[0]}` }
    expect((await get("/kv/", options, session, far)).status).toBe(200)
    expect((await get("/kv/", { token: `${TOKEN}2` }, session, far)).status).toBe(401)
  })

  test("over https the cookie is for https alone", async () => {
    const response = await dashboard(options)(new Request(`https://kv.example/?token=${TOKEN}`))
    expect(response.headers.get("set-cookie")).toMatch(/; Secure$/)
  })

  test("a wrong one in the address gives no cookie", async () => {
    const response = await get("/?token=wrong", options)
    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null])
    expect(await response.text()).toContain("This token is not the one of this page")
  })
})

describe("mounted", () => {
  test("in a server that cuts its path off, as Express does, it still knows where it is", async () => {
    const listener = nodeListener(dashboard())
    const url = await serve((incoming, outgoing) => {
      Object.assign(incoming, { originalUrl: incoming.url, url: "/" })
      listener(incoming, outgoing)
    })
    expect((await fetch(`${url}ops/kv/stats.json`)).headers.get("content-type")).toBe("application/json")
    expect((await fetch(`${url}ops/kv`)).url).toBe(`${url}ops/kv/`)
  })

  test("a handler that fails is a 500 that tells nothing", async () => {
    const url = await serve(nodeListener(() => Promise.reject(new Error("the inside"))))
    const response = await fetch(url)
    expect([response.status, await response.text()]).toEqual([500, "The dashboard failed\n"])
  })
})

describe("other processes", () => {
  test("are asked for their own stores, with their token, and shown beside this one", async () => {
    await openStore("here")
    const one = await otherProcess("one", storeReport("there"))
    const two = await otherProcess("two", storeReport("there"))
    const { processes } = await reportOf({ processes: [one.url, { url: `${two.url}kv?x=1`, token: TOKEN }] })
    expect(processes.map((process) => process.url)).toEqual([undefined, one.url, `${two.url}kv`])
    expect(processes[2]?.stores?.[0]?.name).toBe("there")
    expect(one.requests).toEqual([{ url: "/stats.json?scope=process", authorization: undefined }])
    expect(two.requests).toEqual([{ url: "/kv/stats.json?scope=process", authorization: `Bearer ${TOKEN}` }])
  })

  test("that show each other are each asked once", async () => {
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

  test("that two addresses lead to are shown once, as this one is", async () => {
    const url = await serveDashboard(dashboard())
    const other = await otherProcess("one")
    const { processes } = await reportOf({ processes: [url, other.url, other.url] })
    expect(processes.map(({ url }) => url)).toEqual([undefined, other.url])
  })

  test("are asked once for all who ask at once", async () => {
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
      "nothing listens",
      async () => `http://127.0.0.1:${await freePort()}/`,
      "Nothing listens there (ECONNREFUSED)",
    ],
    [
      "asks for a token",
      () => serveDashboard(dashboard({ token: TOKEN })),
      "It asks for another token (401)",
    ],
    ["has no dashboard", () => failing(404), "There is no dashboard under this address (404)"],
    ["fails", () => failing(500), "It answered with the status 500"],
    ["is another server", () => failing(200, "<html>"), "is no report of this version"],
    [
      "has other numbers",
      () => failing(200, '{"version":1,"processes":[{"id":"a"}]}'),
      "is no report of this version",
    ],
    [
      "is of another version",
      () => failing(200, '{"version":2,"processes":[]}'),
      "is no report of this version",
    ],
    ["never stops", () => failing(200, "x".repeat(5 * 1024 * 1024)), "too long for a report"],
    ["breaks off", () => serve((incoming) => incoming.socket.destroy()), "(UND_ERR_SOCKET)"],
  ])("where one %s, the page says so and shows the others", async (_what, start, failure) => {
    const url = await start()
    const other = await otherProcess("one")
    const { processes } = await reportOf({ own: false, processes: [url, other.url] })
    expect(processes).toEqual([
      { url, failure: expect.stringContaining(failure) },
      expect.objectContaining({ id: "one", url: other.url }),
    ])
  })

  test("that send elsewhere are not followed: the token stays where it was sent", async () => {
    const elsewhere = await otherProcess("elsewhere")
    const url = await failing(302, "", { location: elsewhere.url })
    const { processes } = await reportOf({ own: false, processes: [{ url, token: TOKEN }] })
    expect(processes[0]?.failure).toContain("It sends elsewhere (302)")
    expect(elsewhere.requests).toEqual([])
  })

  test("that give no answer are given up in time", async () => {
    const asked = vi.fn()
    const url = await serve(asked)
    const runtime = testRuntime()
    const answer = reportOf({ own: false, processes: [url], timeoutMs: 300, runtime })
    await vi.waitFor(() => expect(asked).toHaveBeenCalled())
    await runtime.advance(299)
    await settle()
    await runtime.advance(1)
    expect((await answer).processes).toEqual([{ url, failure: "It gave no answer in 300 ms" }])
  })

  test("are shown without the credentials in their addresses", async () => {
    const port = await freePort()
    const url = `http://user:secret@127.0.0.1:${port}/kv/?token=${TOKEN}`
    const text = await (await get("/stats.json", { processes: [url] })).text()
    expect(text).toContain(`http://127.0.0.1:${port}/kv/`)
    expect(text).not.toMatch(/user|secret|0123456789/)
  })
})

describe("options", () => {
  test.each([
    [{ token: "short" }, "token has at least 16"],
    [{ token: "sixteen with blanks" }, "token has at least 16"],
    [{ processes: ["ftp://127.0.0.1/"] }, "http or https URLs"],
    [{ processes: ["web-1"] }, "http or https URLs"],
    [{ timeoutMs: 0 }, "timeoutMs is a whole number"],
    [Object.assign({}, { tokens: TOKEN }), "There is no option tokens"],
  ])("%o is refused", (options: object, message) => {
    expect(() => dashboard(options)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }))
    expect(() => dashboard(options)).toThrow(message)
  })

  test("that are undefined are as if not given", async () => {
    const options: object = { token: undefined, name: undefined, processes: undefined }
    expect((await get("/", options)).status).toBe(200)
  })
})
