import { mkdtemp, readFile, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buffer } from "node:stream/consumers"
import { afterAll, beforeAll, expect, test } from "vitest"
import { freePort, listenOnLoopback, startProcess } from "../servers/server.ts"
import { type Built, build } from "../support/built.ts"

let built: Built
let folder: string

beforeAll(async () => {
  built = await build()
  folder = await mkdtemp(join(tmpdir(), "tiered-kv-service-"))
})
afterAll(async () => {
  await built.remove()
  await rm(folder, { recursive: true })
})

test("the example service exports to a Prometheus and to an OTLP endpoint, in under twenty lines", async () => {
  const source = await readFile(new URL("../../examples/observed-service.ts", import.meta.url), "utf8")
  const code = source.replaceAll(/\/\*.*?\*\//gs, "").split("\n")
  expect(code.filter((line) => line.trim() !== "").length).toBeLessThan(20)

  const received = new Map<string, string>()
  const collector = createServer(async (request, response) => {
    const body = await buffer(request)
    received.set(request.url ?? "", (received.get(request.url ?? "") ?? "") + body.toString("latin1"))
    response.end()
  })
  const [port, metricsPort] = [await freePort(), await freePort()]
  const service = await startProcess(process.execPath, [built.file("examples/observed-service.js")], {
    ready: async () => (await fetch(`http://127.0.0.1:${port}/alice`)).ok,
    cwd: folder,
    env: {
      ...process.env,
      PORT: String(port),
      NODE_ENV: "test",
      OTEL_SERVICE_NAME: "greeter",
      OTEL_EXPORTER_PROMETHEUS_PORT: String(metricsPort),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await listenOnLoopback(collector)}`,
    },
    remedy: "install Node",
  })
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/alice`)
    expect(await answer.text()).toBe("Hello, alice!\n")

    const exposition = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
    expect(exposition).toMatch(
      /^tiered_kv_requests_total\{cache_name="greetings",cache_tier="loader",cache_result="hit".*\} 1$/m,
    )
    expect(exposition).toMatch(/^target_info\{.*service_name="greeter".*\} 1$/m)
  } finally {
    await service.stop()
    collector.close()
  }
  // At its end the process exported what it had not exported before.
  expect(received.get("/v1/metrics")).toMatch(/greeter.*tiered_kv\.requests/s)
  expect(received.get("/v1/traces")).toMatch(/greeter.*cache\.get_or_set greetings/s)
  expect(service.output()).not.toContain("Error")
})
