import { createServer } from "node:http"
import { NodeSDK } from "@opentelemetry/sdk-node"
import { kv } from "../src/index.ts"

/*
 * A service whose store is observed: `GET /alice` greets Alice, from the store after the first time. Prometheus finds the
 * metrics at http://localhost:9464/metrics; metrics and spans go by OTLP/HTTP to http://localhost:4318 as well.
 *
 * OpenTelemetry's own variables set the rest: OTEL_SERVICE_NAME, OTEL_EXPORTER_PROMETHEUS_PORT,
 * OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_METRIC_EXPORT_INTERVAL and so on.
 */
process.env.OTEL_METRICS_EXPORTER ??= "prometheus,otlp"
const sdk = new NodeSDK()
sdk.start()

const cache = await kv("greetings")
const server = createServer(async ({ url = "/" }, response) => {
  const greeting = cache.getOrSet(url.slice(1), ({ key }) => `Hello, ${key}!\n`, {
    as: "text",
    ttlMs: 60_000,
  })
  response.end(await greeting.catch(String))
}).listen(Number(process.env.PORT ?? 8080))

process.once("SIGTERM", async () => {
  server.close()
  await cache.close()
  await sdk.shutdown().catch(console.error)
})
