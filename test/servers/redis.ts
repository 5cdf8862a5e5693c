import { execFile } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { Redis } from "ioredis"
import { freePort, type ServerProcess, startProcess, type TestServer } from "./server.ts"

/** A `redis-server` of our own, without persistence. */
export interface RedisServer extends TestServer {
  /** Ends it and starts it again, empty, on the same port. */
  restart(): Promise<void>
  /** Ends it; {@link restart} starts it again. */
  halt(): Promise<void>
  /** Suspends the process, as a machine out of memory would, and lets it continue. */
  freeze(): void
  thaw(): void
}

/** The server that `REDIS_URL` names, else one of our own. Tests leave a server as they found it. */
export async function startRedis(): Promise<TestServer> {
  const url = process.env.REDIS_URL
  if (url === undefined || url === "") return startRedisServer()
  return {
    name: "Redis at REDIS_URL",
    version: await versionOf(url),
    port: Number(new URL(url).port || 6379),
    url,
    async stop() {},
  }
}

/** @param options further ones of `redis-server`, as on its command line */
export async function startRedisServer(options: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const folder = mkdtempSync(join(tmpdir(), "tiered-kv-redis-"))
  const start = () =>
    startProcess(
      "redis-server",
      [
        ...["--port", String(port), "--bind", "127.0.0.1", "--dir", folder],
        ...["--save", "", "--appendonly", "no", "--loglevel", "warning"],
        ...options,
      ],
      { ready: () => answers(url), remedy: "install Redis, or set REDIS_URL" },
    )
  let server: ServerProcess = await start()
  return {
    name: "redis-server",
    version: await ownVersion(),
    port,
    url,
    halt: () => server.stop(),
    async restart() {
      await server.stop()
      server = await start()
    },
    freeze: () => void process.kill(server.pid, "SIGSTOP"),
    thaw: () => void process.kill(server.pid, "SIGCONT"),
    async stop() {
      await server.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const SLOTS = 16_384
const PRIMARIES = 3

export interface RedisClusterServer extends TestServer {
  readonly nodes: readonly RedisServer[]
}

/** A cluster of three primaries without replicas, each with a third of the slots. */
export async function startRedisCluster(): Promise<RedisClusterServer> {
  const busPorts = await Promise.all(Array.from({ length: PRIMARIES }, freePort))
  const nodes = await Promise.all(
    busPorts.map((busPort) =>
      startRedisServer([
        ...["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"],
        ...["--cluster-require-full-coverage", "no"],
        ...["--cluster-port", String(busPort)],
      ]),
    ),
  )
  const stop = async () => void (await Promise.all(nodes.map((node) => node.stop())))
  const clients = nodes.map(({ url }) => new Redis(url))
  try {
    await Promise.all(
      clients.map((client, index) => {
        const first = Math.floor((index * SLOTS) / PRIMARIES)
        const last = Math.floor(((index + 1) * SLOTS) / PRIMARIES) - 1
        return client.call("CLUSTER", "ADDSLOTSRANGE", first, last)
      }),
    )
    for (const [index, { port }] of nodes.entries()) {
      await clients[0]?.call("CLUSTER", "MEET", "127.0.0.1", port, busPorts[index] ?? 0)
    }
    await Promise.all(clients.map(untilAgreed))
  } catch (error) {
    await stop()
    throw error
  } finally {
    for (const client of clients) client.disconnect()
  }
  const [first] = nodes
  if (first === undefined) throw new Error("a cluster has nodes")
  const { version, port, url } = first
  return { name: "Redis cluster of 3", version, port, url: `${url}?cluster`, nodes, stop }
}

async function untilAgreed(node: Redis): Promise<void> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const [info, slots] = await Promise.all([node.cluster("INFO"), node.cluster("SLOTS")])
    if (info.includes("cluster_state:ok") && slots.length === PRIMARIES) return
    if (performance.now() > deadline) throw new Error(`the nodes do not form a cluster:\n${info}`)
    await sleep(50)
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return await asked(url, async (client) => (await client.ping()) === "PONG")
  } catch (error) {
    return error instanceof Error && error.message.includes("NOAUTH")
  }
}

async function versionOf(url: string): Promise<string> {
  const info = await asked(url, (client) => client.info("server"))
  return /^(?:valkey|redis)_version:(\S+)/m.exec(info)?.[1] ?? "of unknown version"
}

async function ownVersion(): Promise<string> {
  const { stdout } = await promisify(execFile)("redis-server", ["--version"])
  return /v=(\S+)/.exec(stdout)?.[1] ?? "of unknown version"
}

async function asked<T>(url: string, ask: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: null, enableReadyCheck: false })
  let failure: unknown
  client.on("error", (error) => {
    failure = error
  })
  try {
    await client.connect()
    return await ask(client)
  } catch (error) {
    throw failure ?? error
  } finally {
    client.disconnect()
  }
}
