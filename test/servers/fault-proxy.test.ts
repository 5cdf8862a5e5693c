import { once } from "node:events"
import {
  Agent,
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingMessage,
} from "node:http"
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2"
import { connect, createServer } from "node:net"
import { text } from "node:stream/consumers"
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type FaultProxy, faultProxy, httpResponse } from "./fault-proxy.ts"
import { listenOnLoopback } from "./server.ts"

describe("the fault proxy over HTTP/1.1", () => {
  const served: string[] = []
  const server = createHttpServer(async (request, response) => {
    const body = await text(request)
    served.push(body)
    response.end(`echo ${body}`)
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let proxy: FaultProxy

  beforeAll(async () => {
    proxy = await faultProxy(await listenOnLoopback(server), "http1")
  })
  beforeEach(() => {
    served.length = 0
    proxy.clear()
  })
  afterAll(async () => {
    await proxy.close()
    agent.destroy()
    server.close()
  })

  const post = async (body: string, timeout?: number): Promise<string> => {
    const request = httpRequest({ port: proxy.port, method: "POST", agent, ...(timeout && { timeout }) })
    request.once("timeout", () => request.destroy(new Error("gave up")))
    request.end(body)
    const [response]: [IncomingMessage] = (await once(request, "response")) as [IncomingMessage]
    return `${response.statusCode} ${await text(response)}`
  }

  test("passes requests on, several on a connection and in chunked bodies", async () => {
    const before = proxy.requests
    expect(await post("a")).toBe("200 echo a")
    expect(await post("")).toBe("200 echo ")
    const chunked = httpRequest({ port: proxy.port, method: "POST", agent })
    chunked.write("one ")
    chunked.end("two")
    const [response] = await once(chunked, "response")
    expect(await text(response)).toBe("echo one two")
    expect(proxy.requests - before).toBe(3)
  })

  test("stall passes a request on late, and never if the client has gone", async () => {
    proxy.inject({ kind: "stall", delayMs: 50 })
    expect(await post("a")).toBe("200 echo a")
    proxy.inject({ kind: "stall", delayMs: 1_000 })
    await expect(post("b", 10)).rejects.toThrow("gave up")
    proxy.inject({ kind: "stall", delayMs: 1_500 })
    expect(await post("c")).toBe("200 echo c")
    expect(served).toEqual(["a", "c"])
  })

  test("drop-reply lets the server do its work and resets the client", async () => {
    const rule = proxy.inject({ kind: "drop-reply" })
    await expect(post("a")).rejects.toMatchObject({ code: "ECONNRESET" })
    expect(served).toEqual(["a"])
    expect(rule.hits).toBe(1)
    expect(await post("b")).toBe("200 echo b")
  })

  test("reset keeps the request from the server", async () => {
    proxy.inject({ kind: "reset", times: 2 })
    await expect(post("a")).rejects.toMatchObject({ code: "ECONNRESET" })
    await expect(post("b")).rejects.toMatchObject({ code: "ECONNRESET" })
    expect(await post("c")).toBe("200 echo c")
    expect(served).toEqual(["c"])
  })

  test("delay-reply brings the reply late and whole", async () => {
    proxy.inject({ kind: "delay-reply", delayMs: 60 })
    const start = performance.now()
    expect(await post("a")).toBe("200 echo a")
    expect(performance.now() - start).toBeGreaterThan(50)
  })

  test("black-hole keeps requests from the server and answers nobody", async () => {
    proxy.inject({ kind: "black-hole" })
    await expect(post("a", 50)).rejects.toThrow("gave up")
    expect(served).toEqual([])
  })

  test("late lets a request reach the server after the client gave up", async () => {
    const rule = proxy.inject({ kind: "late" })
    await expect(post("a", 50)).rejects.toThrow("gave up")
    expect(await post("b")).toBe("200 echo b")
    await rule.release()
    expect(served).toEqual(["b", "a"])
  })

  test("respond answers the requests that its rule is about", async () => {
    const response = httpResponse(503, { "x-why": "test" }, "slow down")
    proxy.inject({ kind: "respond", response, when: (request) => request.includes("busy") })
    expect(await post("idle")).toBe("200 echo idle")
    expect(await post("busy")).toBe("503 slow down")
    expect(await post("busy")).toBe("200 echo busy")
    expect(served).toEqual(["idle", "busy"])
  })

  test("a rule that was taken back applies to no request", async () => {
    proxy.inject({ kind: "reset" }).remove()
    expect(await post("a")).toBe("200 echo a")
  })
})

describe("the fault proxy over HTTP/2", () => {
  test("drop-reply waits for the last frame of the reply", async () => {
    const served: string[] = []
    const server = createHttp2Server()
    server.on("stream", async (stream) => {
      const body = await text(stream).catch(() => undefined)
      if (body === undefined) return
      stream.respond({ ":status": 200 }, { waitForTrailers: true })
      stream.once("wantTrailers", () => {
        served.push(body)
        stream.sendTrailers({ "grpc-status": "0" })
      })
      stream.end(`echo ${body}`)
    })
    await using proxy = await faultProxy(await listenOnLoopback(server), "http2")
    const post = async (body: string) => {
      const session = connectHttp2(`http://127.0.0.1:${proxy.port}`)
      const broken = once(session, "error").then(([error]) => Promise.reject(error))
      const stream = session.request({ ":method": "POST" })
      stream.on("error", () => {})
      stream.end(body)
      const answer = await Promise.race([text(stream), broken])
      session.close()
      return answer
    }

    const rule = proxy.inject({ kind: "drop-reply", when: (request) => request.includes("commit") })
    expect(await post("read")).toBe("echo read")
    await expect(post("commit")).rejects.toMatchObject({ code: "ECONNRESET" })
    expect(rule.hits).toBe(1)
    expect(served).toEqual(["read", "commit"])

    proxy.inject({ kind: "reset" })
    await expect(post("commit")).rejects.toMatchObject({ code: "ECONNRESET" })
    expect(served).toHaveLength(2)
    server.close()
  })
})

describe("the fault proxy over chunks", () => {
  test("applies rules by the content of a chunk, and cuts every connection", async () => {
    const received: string[] = []
    const server = createServer((socket) => {
      socket.on("error", () => {})
      socket.on("data", (chunk) => {
        received.push(chunk.toString())
        socket.write("+OK\r\n")
      })
    })
    await using proxy = await faultProxy(await listenOnLoopback(server), "chunks")
    const client = connect(proxy.port, "127.0.0.1")
    const ask = async (command: string) => {
      client.write(command)
      return String(await once(client, "data"))
    }
    proxy.inject({ kind: "respond", response: "-LOADING\r\n", when: (request) => request.includes("SET") })
    expect(await ask("GET a\r\n")).toBe("+OK\r\n")
    expect(await ask("SET a\r\n")).toBe("-LOADING\r\n")
    expect(received).toEqual(["GET a\r\n"])

    const broken = once(client, "error")
    proxy.cut()
    expect(await broken).toMatchObject([{ code: "ECONNRESET" }])
    server.close()
  })
})
