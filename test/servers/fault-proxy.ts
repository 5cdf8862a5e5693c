import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { chunked, type Framing, http1, http2, type Piece } from "./framing.ts"
import { listenOnLoopback } from "./server.ts"

/** What the proxy does to a request. */
export type Fault =
  /** The server gets the request and carries it out; the connection is reset instead of its reply being passed on. */
  | { kind: "drop-reply" }
  /**
   * The request, and whatever follows it on the connection, is passed on after `delayMs`, or never if the client has closed the
   * connection by then.
   */
  | { kind: "stall"; delayMs: number }
  /** The reply, and whatever follows it on the connection, is passed on after `delayMs`. */
  | { kind: "delay-reply"; delayMs: number }
  /** The connection is reset before the server gets the request. */
  | { kind: "reset" }
  /** Neither the request nor anything later on the connection is passed on or answered. */
  | { kind: "black-hole" }
  /** A black hole for the client, but the server gets the request at {@link Injected.release}. */
  | { kind: "late" }
  /** The proxy answers these bytes itself; the server does not get the request. See {@link httpResponse}. */
  | { kind: "respond"; response: string | Buffer }

export type Rule = Fault & {
  /** The number of requests that it applies to. @default 1 */
  times?: number
  /**
   * The requests that it applies to. Over HTTP/2 the function receives the data frames without the headers. @default all
   */
  when?: (request: Buffer) => boolean
}

export interface Injected {
  /** The number of requests that it was applied to. */
  readonly hits: number
  /** Only of `late`: passes the withheld requests on, and resolves once the server has answered them. */
  release(): Promise<void>
  /** Removes the rule. */
  remove(): void
}

/**
 * A loopback TCP proxy in front of a server. Requests pass unless a rule applies to them; the oldest rule has precedence.
 */
export interface FaultProxy extends AsyncDisposable {
  readonly port: number
  /** How many complete requests have arrived. */
  readonly requests: number
  inject(rule: Rule): Injected
  /** Calls `listener` with every request from now on, whatever rule applies to it. */
  observe(listener: (request: Buffer) => void): void
  /** Removes all rules and all listeners. */
  clear(): void
  /** Resets every connection. */
  cut(): void
  close(): Promise<void>
}

const FRAMINGS = { chunks: chunked, http1, http2 }

/** Puts a proxy in front of `serverPort`. `protocol` says how requests are told apart. */
export async function faultProxy(serverPort: number, protocol: keyof typeof FRAMINGS): Promise<FaultProxy> {
  const rules: ActiveRule[] = []
  const sockets = new Set<Socket>()
  let listener: (request: Buffer) => void = () => {}
  let requests = 0

  const judge = (request: Buffer): ActiveRule | undefined => {
    requests++
    listener(request)
    const rule = rules.find((rule) => rule.left > 0 && (rule.when?.(request) ?? true))
    if (rule === undefined) return undefined
    rule.left--
    rule.hits++
    return rule
  }
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.on("error", () => {}).once("close", () => sockets.delete(socket))
    return socket.setNoDelay()
  }
  const acceptor = createServer((client) => {
    const server = connect(serverPort, "127.0.0.1")
    forward(track(client), track(server), FRAMINGS[protocol](), judge)
  })
  const port = await listenOnLoopback(acceptor)

  const close = async () => {
    if (!acceptor.listening) return
    const closed = once(acceptor, "close")
    acceptor.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    port,
    get requests() {
      return requests
    },
    inject({ times = 1, when, ...fault }) {
      const rule: ActiveRule = { fault, left: times, hits: 0, withheld: [], ...(when && { when }) }
      rules.push(rule)
      return {
        get hits() {
          return rule.hits
        },
        async release() {
          await Promise.all(rule.withheld.splice(0).map((pass) => pass()))
        },
        remove() {
          rule.left = 0
        },
      }
    },
    observe(observer) {
      listener = observer
    },
    clear() {
      rules.splice(0)
      listener = () => {}
    },
    cut() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** A raw HTTP/1.1 answer for {@link Fault} `respond`. */
export function httpResponse(status: number, headers: Record<string, string>, body: string): string {
  const lines = Object.entries({ ...headers, "content-length": String(Buffer.byteLength(body)) })
  return `HTTP/1.1 ${status} Injected\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`
}

interface ActiveRule {
  fault: Fault
  left: number
  hits: number
  when?: (request: Buffer) => boolean
  withheld: (() => Promise<void>)[]
}

/** Forwards one connection. `judge` decides what happens to each of its requests. */
function forward(
  client: Socket,
  server: Socket,
  framing: Framing,
  judge: (request: Buffer) => ActiveRule | undefined,
): void {
  const doomed = new Set<number>()
  const waiting = new Map<number, () => void>()
  let delayMs = 0
  let deaf = false
  /** Settles when everything so far was sent to the client, so that a delay also delays what follows it. */
  let sent = Promise.resolve()

  /** Settles when everything so far has gone to the server. `undefined`: nothing is held back. */
  let passed: Promise<void> | undefined

  const pass = (bytes: Buffer) => {
    if (passed === undefined) server.write(bytes)
    else {
      passed = passed.then(() => {
        if (!client.destroyed) server.write(bytes)
      })
    }
  }

  const reply = (bytes: string | Buffer) => {
    const wait = delayMs
    delayMs = 0
    sent = sent.then(() => (wait > 0 ? sleep(wait) : undefined)).then(() => void client.write(bytes))
  }

  const meet = (rule: ActiveRule, piece: Piece) => {
    const { fault } = rule
    switch (fault.kind) {
      case "drop-reply":
        doomed.add(piece.stream)
        return pass(piece.bytes)
      case "delay-reply":
        delayMs = fault.delayMs
        return pass(piece.bytes)
      case "stall":
        passed = Promise.all([passed, sleep(fault.delayMs)]).then(() => {})
        return pass(piece.bytes)
      case "reset":
        return void client.resetAndDestroy()
      case "respond":
        return reply(fault.response)
      case "late":
        rule.withheld.push(
          () =>
            new Promise((resolve) => {
              waiting.set(piece.stream, resolve)
              server.once("close", resolve).write(piece.bytes)
            }),
        )
        deaf = true
        return
      case "black-hole":
        deaf = true
    }
  }

  client.on("data", (chunk) => {
    for (const piece of framing.split(chunk)) {
      if (deaf || client.destroyed) return
      const rule = piece.request && judge(piece.request)
      if (rule === undefined) pass(piece.bytes)
      else meet(rule, piece)
    }
  })
  server.on("data", (chunk) => {
    const answered = framing.answered(chunk)
    for (const stream of answered) waiting.get(stream)?.()
    if (answered.some((stream) => doomed.has(stream))) client.resetAndDestroy()
    else if (!deaf && doomed.size === 0) reply(chunk)
  })
  client.once("close", () => {
    if (!deaf) server.destroy()
  })
  server.once("close", () => void sent.then(() => client.destroy()))
}
