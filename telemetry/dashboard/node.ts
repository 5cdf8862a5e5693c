import type { IncomingMessage, ServerResponse } from "node:http"
import type { Peer } from "./access.ts"

/** A handler made by `dashboard()`. */
type Handler = (request: Request, peer: Peer) => Promise<Response>

/**
 * Mounts a handler in a server of `node:http`, or in anything that takes its listeners:
 * `createServer(nodeListener(dashboard()))`, `app.use("/kv", nodeListener(dashboard()))`.
 */
export function nodeListener(
  handler: Handler,
): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  return (incoming, outgoing) => {
    answer(handler, incoming).then(
      (response) => send(response, outgoing),
      () => outgoing.writeHead(500, { "content-type": "text/plain" }).end("The dashboard failed\n"),
    )
  }
}

async function answer(handler: Handler, incoming: IncomingMessage) {
  const request = requestOf(incoming)
  if (request === undefined) return { status: 400, headers: new Headers(), body: "No such address\n" }
  const response = await handler(request, { remoteAddress: incoming.socket.remoteAddress })
  return { status: response.status, headers: response.headers, body: await response.text() }
}

function send(response: { status: number; headers: Headers; body: string }, outgoing: ServerResponse): void {
  outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(response.body)
}

function requestOf(incoming: IncomingMessage): Request | undefined {
  // Express removes the path where the listener is mounted from `url`.
  const path =
    "originalUrl" in incoming && typeof incoming.originalUrl === "string"
      ? incoming.originalUrl
      : incoming.url
  if (path === undefined || !path.startsWith("/")) return undefined
  const scheme = "encrypted" in incoming.socket ? "https" : "http"
  const headers = new Headers()
  for (const [name, value] of Object.entries(incoming.headers)) {
    // Pseudo-headers of HTTP/2, like `:path`, are not allowed in Headers.
    if (value !== undefined && !name.startsWith(":")) headers.set(name, String(value))
  }
  try {
    const address = new URL(`${scheme}://${incoming.headers.host ?? incoming.headers[":authority"]}${path}`)
    // The dashboard refuses every method but GET and HEAD; POST stands for them, because Request forbids some.
    const method = incoming.method === "GET" || incoming.method === "HEAD" ? incoming.method : "POST"
    return new Request(address, { method, headers })
  } catch {
    return undefined
  }
}
