import { createServer, type IncomingMessage } from "node:http"
import { text } from "node:stream/consumers"
import { createGunzip } from "node:zlib"
import { listenOnLoopback } from "./server.ts"

/** What a collector would have received by OTLP over HTTP in JSON. */
export interface OtlpReceiver {
  readonly url: string
  readonly spans: OtlpSpan[]
  readonly metrics: OtlpMetric[]
  /** Whether requests are left without an answer. @default false */
  hangs: boolean
  stop(): Promise<void>
}

/** The fields of the protocol's JSON that are looked at, with the name of the scope. */
export interface OtlpSpan {
  scope: string
  name: string
  kind: number
  traceId: string
  spanId: string
  parentSpanId?: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: OtlpAttribute[]
  links: { traceId: string; spanId: string }[]
}

export interface OtlpMetric {
  scope: string
  name: string
  unit: string
  /** `aggregationTemporality` is 1 for delta, 2 for cumulative. */
  sum?: { aggregationTemporality: number; isMonotonic: boolean; dataPoints: OtlpNumber[] }
  histogram?: { aggregationTemporality: number; dataPoints: OtlpHistogram[] }
}

interface OtlpNumber {
  attributes: OtlpAttribute[]
  asDouble: number
}

interface OtlpHistogram {
  attributes: OtlpAttribute[]
  count: number
  explicitBounds: number[]
}

/** `value` has one member, named after its type: `{ stringValue: "get" }`. */
interface OtlpAttribute {
  key: string
  value: Readonly<Record<string, unknown>>
}

interface Scoped {
  scope: { name: string }
}

interface ExportRequest {
  resourceSpans?: { scopeSpans: (Scoped & { spans: Omit<OtlpSpan, "scope">[] })[] }[]
  resourceMetrics?: { scopeMetrics: (Scoped & { metrics: Omit<OtlpMetric, "scope">[] })[] }[]
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: OtlpSpan[] = []
  const metrics: OtlpMetric[] = []
  const server = createServer(async (request, response) => {
    if (receiver.hangs) return
    const { resourceSpans = [], resourceMetrics = [] } = await requestOf(request)
    for (const { scope, spans: exported } of resourceSpans.flatMap(({ scopeSpans }) => scopeSpans))
      spans.push(...exported.map((span) => ({ ...span, scope: scope.name })))
    for (const { scope, metrics: exported } of resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics))
      metrics.push(...exported.map((metric) => ({ ...metric, scope: scope.name })))
    response.setHeader("content-type", "application/json").end("{}")
  })
  const port = await listenOnLoopback(server)
  const receiver: OtlpReceiver = {
    url: `http://127.0.0.1:${port}`,
    spans,
    metrics,
    hangs: false,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return receiver
}

async function requestOf(request: IncomingMessage): Promise<ExportRequest> {
  const isGzip = request.headers["content-encoding"] === "gzip"
  return JSON.parse(await text(isGzip ? request.pipe(createGunzip()) : request))
}

export function attributesOf({
  attributes,
}: {
  attributes: readonly OtlpAttribute[]
}): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))
}
