import { createHash } from "node:crypto"
import { describe, expect, test } from "vitest"
import { dashboard, nodeListener } from "../../../telemetry/dashboard/handler.ts"
import {
  get,
  LOCAL,
  openStore,
  otherProcess,
  reportOf,
  serve,
  storeReport,
  TOKEN,
} from "../../support/dashboard-fixture.ts"

describe("the page", () => {
  test("is one document whose policy admits its own script and style and nothing else", async () => {
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

  test("is smaller than 64 KiB", async () => {
    expect((await (await get("/")).text()).length).toBeLessThan(64 * 1024)
  })

  test.each(["/", "/stats.json", "/kv", "/nothing.txt"])(
    "the answer to %s forbids caching, guessing its type, framing and referrers",
    async (path) => {
      const { headers } = await get(path)
      expect(headers.get("cache-control")).toBe("no-store")
      expect(headers.get("x-content-type-options")).toBe("nosniff")
      expect(headers.get("x-frame-options")).toBe("DENY")
      expect(headers.get("referrer-policy")).toBe("no-referrer")
      expect(headers.get("content-security-policy")).toContain("default-src 'none'")
    },
  )

  test("without its last slash redirects to the address with it, so that its relative addresses hold", async () => {
    const { status, headers } = await get("/ops/kv")
    expect([status, headers.get("location")]).toEqual([303, "./kv/"])
  })

  test("is served to GET and HEAD only, and no other file is found", async () => {
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

describe("stats.json", () => {
  test("holds the numbers of every open store of the process", async () => {
    const cache = await openStore("cache")
    await openStore("quiet")
    await cache.set("a", "1")
    await cache.get("a")
    await cache.get("a")
    const { version, processes } = await reportOf({ name: "web-1" })
    expect(version).toBe(2)
    expect(processes).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        name: "web-1",
        uptimeMs: expect.any(Number),
        at: expect.any(Number),
        step: expect.any(Number),
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

  test("is safe within HTML and leaves out credentials in the target of a backend", async () => {
    const target = "redis://user:pass@10.0.0.1/</script><script>\u2028"
    const other = await otherProcess("a", { ...storeReport("cache"), backend: { kind: "redis", target } })
    const text = await (await get("/stats.json", { processes: [other.url] })).text()
    expect(text).not.toMatch(/[<\u2028]|user:pass/)
    expect(JSON.parse(text).processes[1].stores[0].backend.target).toBe(
      "redis://10.0.0.1/</script><script>\u2028",
    )
  })

  test("leaves out what another process reports beyond the known properties", async () => {
    const other = await otherProcess("a", Object.assign(storeReport("cache"), { secret: "s3cret" }))
    const text = await (await get("/stats.json", { processes: [other.url] })).text()
    expect(text).toContain('"cache"')
    expect(text).not.toContain("s3cret")
  })
})

describe("nodeListener", () => {
  test("redirects correctly in a server that removes the mount path from url, as Express does", async () => {
    const listener = nodeListener(dashboard())
    const url = await serve((incoming, outgoing) => {
      Object.assign(incoming, { originalUrl: incoming.url, url: "/" })
      listener(incoming, outgoing)
    })
    expect((await fetch(`${url}ops/kv/stats.json`)).headers.get("content-type")).toBe("application/json")
    expect((await fetch(`${url}ops/kv`)).url).toBe(`${url}ops/kv/`)
  })

  test("answers 500 without the reason where the handler rejects", async () => {
    const url = await serve(nodeListener(() => Promise.reject(new Error("the inside"))))
    const response = await fetch(url)
    expect([response.status, await response.text()]).toEqual([500, "The dashboard failed\n"])
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
  ])("%o is an invalid option", (options: object, message) => {
    expect(() => dashboard(options)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }))
    expect(() => dashboard(options)).toThrow(message)
  })

  test("undefined options take their defaults", async () => {
    const options: object = { token: undefined, name: undefined, processes: undefined }
    expect((await get("/", options)).status).toBe(200)
  })
})
