import { createServer, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { listenOnLoopback } from "../servers/server.ts"

/** A server that speaks the protocol of Redis, and answers as a test says. */
export interface FakeRedis extends AsyncDisposable {
  readonly port: number
  readonly url: string
  /** The commands that have arrived, in lower case, without those of the handshake. */
  readonly commands: readonly string[]
  /** How many times `INFO` has arrived. */
  readonly infos: number
  /** The connections so far, oldest first. */
  readonly connections: readonly FakeConnection[]
  /** Resolves when a command of this name has arrived since the fake was made. */
  arrived(command: string): Promise<void>
}

export interface FakeConnection {
  readonly socket: Socket
  /** How it ended: `reset` by the client, or `closed`. */
  ended: Promise<"reset" | "closed">
}

/** The answer to a command, as it goes over the wire; `undefined`: none. */
export type Answers = (command: readonly string[], connection: number) => string | undefined

/** The answer `$5\r\nvalue\r\n`, and so on. */
const bulk = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`

const PRIMARY = bulk("run_id:fake\r\nrole:master\r\nmaster_replid:fake\r\n")

/** What the fake answers where a test says nothing: it is a primary like Redis 5, without HELLO, at 1.8 × 10^9 s. */
function handshake([name = ""]: readonly string[]): string | undefined {
  if (name === "hello") return "-ERR unknown command 'HELLO'\r\n"
  if (name === "info") return PRIMARY
  if (name === "time") return "*2\r\n$10\r\n1800000000\r\n$1\r\n0\r\n"
  if (name === "client" || name === "select") return "+OK\r\n"
  return undefined
}

/** @param wantedPort @default one of the system's choice */
export async function fakeRedis(answers: Answers, wantedPort = 0): Promise<FakeRedis> {
  const connections: FakeConnection[] = []
  const commands: string[] = []
  let infos = 0
  const server = createServer((socket) => {
    const number = connections.length
    let pending = ""
    let error: NodeJS.ErrnoException | undefined
    socket.on("error", (cause) => {
      error = cause
    })
    const ended = new Promise<"reset" | "closed">((resolve) => {
      socket.once("close", () => resolve(error?.code === "ECONNRESET" ? "reset" : "closed"))
    })
    connections.push({ socket, ended })
    socket.on("data", (chunk) => {
      pending += chunk.toString("latin1")
      for (let command = nextCommand(); command !== undefined; command = nextCommand()) {
        const [name = "", ...args] = command
        const lower = [name.toLowerCase(), ...args]
        if (lower[0] === "info") infos++
        if (handshake(lower) === undefined) commands.push(name.toLowerCase())
        const answer = answers(lower, number) ?? handshake(lower)
        if (answer !== undefined) socket.write(answer, "latin1")
      }
    })
    function nextCommand(): string[] | undefined {
      const count = /^\*(\d+)\r\n/.exec(pending)
      if (count === null) return undefined
      let at = count[0].length
      const parts: string[] = []
      while (parts.length < Number(count[1])) {
        const size = /^\$(\d+)\r\n/.exec(pending.slice(at, at + 20))
        if (size === null) return undefined
        at += size[0].length
        const end = at + Number(size[1])
        if (pending.length < end + 2) return undefined
        parts.push(pending.slice(at, end))
        at = end + 2
      }
      pending = pending.slice(at)
      return parts
    }
  })
  const port = await listenOnLoopback(server, wantedPort)
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    commands,
    get infos() {
      return infos
    },
    connections,
    async arrived(command) {
      while (!commands.includes(command)) await sleep(2)
    },
    async [Symbol.asyncDispose]() {
      for (const { socket } of connections) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
