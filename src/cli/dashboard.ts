import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { createServer } from "node:http"
import { isIPv6 } from "node:net"
import { hostname } from "node:os"
import { isLoopbackAddress } from "../../telemetry/dashboard/access.ts"
import {
  type DashboardOptions,
  dashboard as dashboardOf,
  nodeListener,
} from "../../telemetry/dashboard/handler.ts"
import { EXIT, InputError } from "./failure.ts"
import { interruptible } from "./interrupt.ts"
import { type Io, write } from "./io.ts"

export interface DashboardCommand {
  host: string
  port: number
  token?: string
}

/** Serves the page until Ctrl-C. The page shows the processes at the given addresses; this process has no open store. */
export async function dashboard(
  addresses: readonly string[],
  { host, port, token }: DashboardCommand,
  io: Io,
): Promise<number> {
  const { signal, release } = interruptible()
  const isLocal = host === "localhost" || isLoopbackAddress(host)
  const ownToken = token ?? (isLocal ? undefined : randomBytes(18).toString("base64url"))
  try {
    const served = await serveDashboard(host, port, {
      own: false,
      processes: addresses.map((address) => processAt(address, token)),
      ...(ownToken === undefined ? {} : { token: ownToken }),
    })
    try {
      await write(io.stdout, `${served.url}\n`)
      await write(io.stderr, adviceFor(addresses, token === undefined && ownToken !== undefined))
      if (!signal.aborted) await once(signal, "abort")
      return EXIT.done
    } finally {
      await served.close()
    }
  } finally {
    release()
  }
}

export interface ServedDashboard {
  /** The address for a browser, with the token if there is one. */
  readonly url: string
  close(): Promise<void>
}

/** Starts a server with the page. Port 0 means any free port. */
export async function serveDashboard(
  host: string,
  port: number,
  options: DashboardOptions,
): Promise<ServedDashboard> {
  const server = createServer(nodeListener(dashboardOf(options)))
  server.listen(port, host)
  try {
    await once(server, "listening")
  } catch (error) {
    throw cannotListen(host, port, error)
  }
  const address = server.address()
  const found = typeof address === "object" && address !== null ? address.port : port
  const query = options.token === undefined ? "" : `?token=${encodeURIComponent(options.token)}`
  return {
    url: `http://${nameOf(host)}:${found}/${query}`,
    async close() {
      const closed = once(server, "close")
      server.close()
      // Browsers keep connections open, and `close` waits for them.
      server.closeAllConnections()
      await closed
    },
  }
}

/** The host for URLs of a server that listens on `host`: the name of the machine if it listens on all addresses. */
function nameOf(host: string): string {
  if (host === "0.0.0.0" || host === "::") return hostname()
  return isIPv6(host) ? `[${host}]` : host
}

/** Reads `?token=` of an address as the token of that process. Without it, the token of this page is used. */
function processAt(address: string, token: string | undefined) {
  if (!URL.canParse(address)) {
    throw new InputError("USAGE", "a process is named by its URL, http://127.0.0.1:3000/kv/ for one")
  }
  const url = new URL(address)
  const own = url.searchParams.get("token") ?? token
  return { url: url.href, ...(own === undefined ? {} : { token: own }) }
}

function adviceFor(addresses: readonly string[], isMadeUp: boolean): string {
  const lines = [
    ...(addresses.length === 0 ? ["No process was named: the page says how to show one."] : []),
    ...(isMadeUp
      ? ["It can be reached from other machines, so it asks for a token, made up for this run."]
      : []),
    "Ctrl-C ends it.",
  ]
  return `${lines.join("\n")}\n`
}

function cannotListen(host: string, port: number, cause: unknown): InputError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"
  const remedy =
    code === "EADDRINUSE" ? "; name another --port, or 0 for any free one" : "; name another --host or --port"
  return new InputError("USAGE", `cannot listen on ${host}, port ${port} (${code})${remedy}`, { cause })
}
