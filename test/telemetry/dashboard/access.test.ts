import { request as httpRequest, type IncomingMessage } from "node:http"
import { describe, expect, test } from "vitest"
import { dashboard } from "../../../telemetry/dashboard/handler.ts"
import { get, LOCAL, serveDashboard, TOKEN } from "../../support/dashboard-fixture.ts"

describe("without a token", () => {
  test.each([
    ["127.0.0.1", "http://127.0.0.1:3000/"],
    ["127.8.9.10", "http://127.0.0.1/"],
    ["::1", "http://[::1]:3000/"],
    ["::ffff:127.0.0.1", "http://localhost:3000/"],
    ["127.0.0.1", "http://web.localhost/"],
  ])("a request from %s to %s is admitted", async (remoteAddress, url) => {
    expect((await dashboard()(new Request(url), { remoteAddress })).status).toBe(200)
  })

  test.each([
    ["from another machine", "http://localhost/", { remoteAddress: "10.0.0.7" }, {}],
    ["from an unknown address", "http://localhost/", undefined, {}],
    ["from an unknown address, by a server that passes another argument", "http://localhost/", {}, {}],
    ["to a name that DNS rebinding points at this machine", "http://evil.example/", LOCAL, {}],
    ["to another name in its Host header only", "http://localhost/", LOCAL, { host: "evil.example" }],
    ["to a name that begins with localhost", "http://localhost.evil.example/", LOCAL, {}],
    ["to a name that begins with a loopback address", "http://127.0.0.1.evil.example/", LOCAL, {}],
    ["to the address of the machine", "http://10.0.0.1/", LOCAL, {}],
    ["through a proxy", "http://localhost/", LOCAL, { "x-forwarded-for": "10.0.0.7" }],
    ["through a proxy that sends Forwarded", "http://localhost/", LOCAL, { forwarded: "for=10.0.0.7" }],
  ])("a request %s is refused with the reason", async (_what, url, peer, headers) => {
    for (const path of ["", "stats.json"]) {
      const response = await dashboard()(new Request(`${url}${path}`, { headers }), peer)
      expect(response.status).toBe(403)
      expect(await response.text()).toMatch(/Access refused.*token/s)
    }
  })

  test("a request with a foreign Host header is refused, whatever its path says", async () => {
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

describe("a token", () => {
  const options = { token: TOKEN }
  const far = { remoteAddress: "10.0.0.7" }

  test("a request with it is admitted from any address, and one without it from none", async () => {
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

  test("in the URL is exchanged for a cookie, which admits and does not contain it", async () => {
    const response = await get(`/kv/?token=${TOKEN}`, options, {}, far)
    const cookie = response.headers.get("set-cookie") ?? ""
    expect([response.status, response.headers.get("location")]).toEqual([303, "./"])
    expect(cookie).toMatch(/; HttpOnly; SameSite=Lax$/)
    expect(cookie).not.toContain(TOKEN)
    const session = { cookie: `other=1; ${cookie.split(";")[0]}` }
    expect((await get("/kv/", options, session, far)).status).toBe(200)
    expect((await get("/kv/", { token: `${TOKEN}2` }, session, far)).status).toBe(401)
  })

  test("over https gives a cookie for https only", async () => {
    const response = await dashboard(options)(new Request(`https://kv.example/?token=${TOKEN}`))
    expect(response.headers.get("set-cookie")).toMatch(/; Secure$/)
  })

  test("that is wrong in the URL gives no cookie", async () => {
    const response = await get("/?token=wrong", options)
    expect([response.status, response.headers.get("set-cookie")]).toEqual([401, null])
    expect(await response.text()).toContain("This token is wrong")
  })
})
