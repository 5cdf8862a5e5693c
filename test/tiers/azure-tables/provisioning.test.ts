import http from "node:http"
import tls from "node:tls"
import { describe, expect, onTestFinished, test } from "vitest"
import { azureTables } from "../../../tiers/azure-tables/backend.ts"
import { provisionAzureTables } from "../../../tiers/azure-tables/provisioning.ts"
import { tryOldTls, tryPlainHttp } from "../../../tiers/azure-tables/provisioning-transport.ts"
import { azuriteConnectionString, startAzurite } from "../../servers/azurite.ts"
import { requireServer } from "../../servers/require-server.ts"
import { freePort, listenOnLoopback } from "../../servers/server.ts"
import { selfSigned } from "../../support/self-signed.ts"

await requireServer("azure-tables", startAzurite, ({ connectionString }) => {
  test("provisionAzureTables makes the table, and leaves it as it is the next time", async () => {
    const table = "provisioned"
    const emulated = [
      { name: "plain http refused", outcome: "unsupported" },
      { name: "TLS below 1.2 refused", outcome: "unsupported" },
    ]
    expect(await provisionAzureTables({ connectionString }, { table })).toEqual({
      target: "table provisioned",
      steps: [{ name: "table", outcome: "created" }, ...emulated],
    })
    const backend = azureTables({ connectionString }, { table })
    await backend.open()
    await backend.put("key", { value: Uint8Array.of(1), id: "0".repeat(32) })
    expect(await provisionAzureTables({ connectionString }, { table })).toEqual({
      target: "table provisioned",
      steps: [{ name: "table", outcome: "verified" }, ...emulated],
    })
    expect(await backend.exists("key")).toBe(true)
    await backend.close()
  })

  test("provisionAzureTables says what is in its way", async () => {
    const wrongKey = connectionString.replace(/AccountKey=..../, "AccountKey=AAAA")
    await expect(
      provisionAzureTables({ connectionString: wrongKey }, { table: "cache" }),
    ).rejects.toMatchObject({
      code: "ACCESS_DENIED",
      operation: "provision",
    })
    const nowhere = azuriteConnectionString(await freePort())
    await expect(
      provisionAzureTables({ connectionString: nowhere }, { table: "cache" }),
    ).rejects.toMatchObject({
      code: "UNAVAILABLE",
    })
    await expect(provisionAzureTables({ connectionString }, { table: "my-table" })).rejects.toMatchObject({
      code: "BINDING_INVALID",
    })
  })
})

describe("the transport of an endpoint", () => {
  test("plain http is refused if the service says so, or nothing listens", async () => {
    const accountRequiresHttps = http.createServer((_, response) => {
      response.writeHead(400, { "x-ms-error-code": "AccountRequiresHttps" }).end()
    })
    const lenient = http.createServer((_, response) => void response.writeHead(403).end())
    onTestFinished(() => [accountRequiresHttps, lenient].forEach((server) => void server.close()))
    expect(await tryPlainHttp("127.0.0.1", await listenOnLoopback(accountRequiresHttps))).toBe("refused")
    expect(await tryPlainHttp("127.0.0.1", await listenOnLoopback(lenient))).toBe("accepted")
    expect(await tryPlainHttp("127.0.0.1", await freePort())).toBe("refused")
  })

  test("TLS below 1.2 is told from a connection that does not come about", async ({ skip }) => {
    const certificate = await selfSigned()
    if (certificate === undefined) return skip("needs openssl, which is not on this machine")
    const strict = tls.createServer({ ...certificate, minVersion: "TLSv1.2" })
    const lenient = tls.createServer({ ...certificate, minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" })
    onTestFinished(() => [strict, lenient].forEach((server) => void server.close()))
    expect(await tryOldTls("localhost", await listenOnLoopback(strict))).toBe("refused")
    expect(await tryOldTls("localhost", await listenOnLoopback(lenient))).toBe("accepted")
    expect(await tryOldTls("localhost", await freePort())).toBe("unknown")
  })
})
