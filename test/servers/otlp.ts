import { createServer, type IncomingMessage } from "node:http"
import { gunzipSync } from "node:zlib"
import { listenOnLoopback } from "./server.ts"

/** What a collector would have received by OTLP over HTTP, decoded from protobuf. */
export interface OtlpReceiver {
  readonly url: string
  readonly spans: OtlpSpan[]
  readonly metrics: OtlpMetric[]
  /** Whether requests are left without an answer. @default false */
  hangs: boolean
  stop(): Promise<void>
}

export interface OtlpSpan {
  scope: string
  name: string
  kind: number
  traceId: string
  spanId: string
  parentSpanId: string
  startNs: bigint
  endNs: bigint
  attributes: Record<string, unknown>
  links: { traceId: string; spanId: string }[]
  statusCode: number
}

export interface OtlpMetric {
  scope: string
  name: string
  unit: string
  kind: "sum" | "histogram" | "other"
  isMonotonic: boolean
  /** 1 delta, 2 cumulative. */
  temporality: number
  points: { attributes: Record<string, unknown>; value: number; count: number; bounds: number[] }[]
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: OtlpSpan[] = []
  const metrics: OtlpMetric[] = []
  const server = createServer(async (request, response) => {
    if (receiver.hangs) return
    const body = await bodyOf(request)
    if (request.url === "/v1/traces") spans.push(...decodeTraces(body))
    else if (request.url === "/v1/metrics") metrics.push(...decodeMetrics(body))
    else response.statusCode = 404
    response.setHeader("content-type", "application/x-protobuf").end()
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

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  return request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body
}

/** One message: field number → the raw values that came under it. Field numbers are those of opentelemetry-proto 1.x. */
type Message = Map<number, (bigint | Buffer)[]>

function decode(buffer: Buffer): Message {
  const message: Message = new Map()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer.readUInt8(at++)
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const bytes = (length: number) => {
    const taken = buffer.subarray(at, at + length)
    at += length
    return taken
  }
  while (at < buffer.length) {
    const tag = Number(varint())
    const wireType = tag & 7
    const value =
      wireType === 0
        ? varint()
        : wireType === 1
          ? bytes(8)
          : wireType === 5
            ? bytes(4)
            : bytes(Number(varint()))
    const field = tag >> 3
    message.set(field, [...(message.get(field) ?? []), value])
  }
  return message
}

function raw(message: Message, field: number): Buffer[] {
  return (message.get(field) ?? []).filter((value) => Buffer.isBuffer(value))
}

function messages(message: Message, field: number): Message[] {
  return raw(message, field).map(decode)
}

function text(message: Message, field: number, encoding: BufferEncoding = "utf8"): string {
  return raw(message, field)[0]?.toString(encoding) ?? ""
}

function integer(message: Message, field: number): number {
  const value = message.get(field)?.[0]
  return typeof value === "bigint" ? Number(value) : 0
}

function fixed64(message: Message, field: number): bigint {
  return raw(message, field)[0]?.readBigUInt64LE() ?? 0n
}

function double(message: Message, field: number): number | undefined {
  return raw(message, field)[0]?.readDoubleLE()
}

function attributesOf(message: Message, field: number): Record<string, unknown> {
  return Object.fromEntries(
    messages(message, field).map((pair) => [text(pair, 1), messages(pair, 2).map(anyValue)[0]]),
  )
}

function anyValue(value: Message): unknown {
  if (value.has(1)) return text(value, 1)
  if (value.has(2)) return integer(value, 2) === 1
  if (value.has(3)) return integer(value, 3)
  return double(value, 4)
}

function decodeTraces(body: Buffer): OtlpSpan[] {
  return messages(decode(body), 1)
    .flatMap((resource) => messages(resource, 2))
    .flatMap((scoped) => {
      const scope = messages(scoped, 1).map((one) => text(one, 1))[0] ?? ""
      return messages(scoped, 2).map((span) => ({
        scope,
        name: text(span, 5),
        kind: integer(span, 6),
        traceId: text(span, 1, "hex"),
        spanId: text(span, 2, "hex"),
        parentSpanId: text(span, 4, "hex"),
        startNs: fixed64(span, 7),
        endNs: fixed64(span, 8),
        attributes: attributesOf(span, 9),
        links: messages(span, 13).map((link) => ({
          traceId: text(link, 1, "hex"),
          spanId: text(link, 2, "hex"),
        })),
        statusCode: messages(span, 15).map((status) => integer(status, 3))[0] ?? 0,
      }))
    })
}

function decodeMetrics(body: Buffer): OtlpMetric[] {
  return messages(decode(body), 1)
    .flatMap((resource) => messages(resource, 2))
    .flatMap((scoped) => {
      const scope = messages(scoped, 1).map((one) => text(one, 1))[0] ?? ""
      return messages(scoped, 2).map((metric) => decodeMetric(scope, metric))
    })
}

function decodeMetric(scope: string, metric: Message): OtlpMetric {
  const [sum] = messages(metric, 7)
  const [histogram] = messages(metric, 9)
  const data = sum ?? histogram
  return {
    scope,
    name: text(metric, 1),
    unit: text(metric, 3),
    kind: sum ? "sum" : histogram ? "histogram" : "other",
    isMonotonic: sum !== undefined && integer(sum, 3) === 1,
    temporality: data === undefined ? 0 : integer(data, 2),
    points: (data === undefined ? [] : messages(data, 1)).map((point) =>
      histogram === undefined
        ? { attributes: attributesOf(point, 7), value: numberOf(point), count: 1, bounds: [] }
        : {
            attributes: attributesOf(point, 9),
            value: double(point, 5) ?? 0,
            count: Number(fixed64(point, 4)),
            bounds: raw(point, 7).flatMap(doubles),
          },
    ),
  }
}

function numberOf(point: Message): number {
  return double(point, 4) ?? Number(raw(point, 6)[0]?.readBigInt64LE() ?? 0n)
}

function doubles(packed: Buffer): number[] {
  return Array.from({ length: packed.length / 8 }, (_, i) => packed.readDoubleLE(i * 8))
}
