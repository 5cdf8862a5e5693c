import { type ChildProcess, spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { once } from "node:events"
import { connect, createServer, type Server } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/** A real server, on loopback. */
export interface TestServer {
  /** What it calls itself: `DynamoDB Local`, `Azurite`, `redis-server`, … */
  readonly name: string
  /** Its version, asked of the server or of the package that it came from. */
  readonly version: string
  readonly port: number
  /** Where a client finds it: `http://127.0.0.1:PORT`, `redis://127.0.0.1:PORT`, … */
  readonly url: string
  stop(): Promise<void>
}

/** The server cannot be started because it is not on this machine: a named skip, or a failure where `CI` is set. */
export class ServerUnavailable extends Error {
  readonly reason: string
  readonly remedy: string

  /**
   * @param reason what is missing: "no `java` on the PATH"
   * @param remedy how to get it: "install a Java 17 runtime"
   */
  constructor(reason: string, remedy: string, options?: ErrorOptions) {
    super(`${reason}; to run these tests, ${remedy}`, options)
    this.reason = reason
    this.remedy = remedy
  }
}

/** Makes a server of this process listen, by default on a free port, and returns the port. */
export async function listenOnLoopback(server: Server, wantedPort = 0): Promise<number> {
  server.listen(wantedPort, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port")
  return address.port
}

/**
 * A free loopback port. It is below the ports of outgoing connections (32,768 and above on Linux), because such a
 * connection could take it before the server does.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(20_000, 32_768)
    if (await isFree(port)) return port
  }
  throw new Error("no free port found between 20,000 and 32,767")
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, "127.0.0.1")
    await once(server, "listening")
    return true
  } catch {
    return false
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

/** Whether something accepts connections there. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1")
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

export interface ProcessOptions {
  /** Whether the server answers. It is called until it returns true; a rejection counts as false. */
  ready: () => Promise<boolean>
  /** @default 60_000 */
  readyTimeoutMs?: number
  cwd?: string
  env?: NodeJS.ProcessEnv
  /** How to get the command, for {@link ServerUnavailable} when it is not on the PATH. */
  remedy: string
}

export interface ServerProcess {
  readonly pid: number
  /** The last few kilobytes that it printed. */
  output(): string
  /** Asks it to end, and kills it if it has not after five seconds. Idempotent. */
  stop(): Promise<void>
}

/** Starts a child process and resolves once it is ready; if it ends before that, rejects with what it printed. */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions,
): Promise<ServerProcess> {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  })
  let printed = ""
  const collect = (chunk: Buffer) => {
    printed = (printed + chunk.toString()).slice(-8_192)
  }
  child.stdout.on("data", collect)
  child.stderr.on("data", collect)

  try {
    await once(child, "spawn")
  } catch (error) {
    throw new ServerUnavailable(`no \`${command}\` on the PATH`, options.remedy, { cause: error })
  }
  running.add(child)
  const stop = async () => {
    await endProcess(child)
    running.delete(child)
  }

  const deadline = performance.now() + (options.readyTimeoutMs ?? 60_000)
  while (!(await options.ready().catch(() => false))) {
    if (hasEnded(child)) throw new Error(`${command} ended before it was ready:\n${printed}`)
    if (performance.now() > deadline) {
      await stop()
      throw new Error(`${command} was not ready in time:\n${printed}`)
    }
    await sleep(50)
  }
  return { pid: child.pid ?? -1, output: () => printed, stop }
}

/** The servers of this process. A worker that vitest ends early runs no `afterAll`: they would go on for ever. */
const running = new Set<ChildProcess>()

function killRunning(): void {
  for (const child of running) child.kill("SIGKILL")
}

process.once("exit", killRunning)
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  process.once(signal, () => {
    killRunning()
    process.kill(process.pid, signal)
  })
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

async function endProcess(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return
  const ended = once(child, "exit")
  child.kill("SIGTERM")
  const kill = setTimeout(() => child.kill("SIGKILL"), 5_000)
  await ended
  clearTimeout(kill)
}
