import http from "node:http"
import { isIP } from "node:net"
import tls from "node:tls"

/** What an endpoint does with a connection that it should refuse; `unknown` where it cannot be tried. */
export type Verdict = "accepted" | "refused" | "unknown"

const TIMEOUT_MS = 5_000

/** Whether a handshake below TLS 1.2 comes about. Nothing is sent over it. */
export function tryOldTls(hostname: string, port: number): Promise<Verdict> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: hostname,
      port,
      ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      // OpenSSL offers these versions at no higher level. Whom one talks to does not matter here.
      ciphers: "DEFAULT@SECLEVEL=0",
      rejectUnauthorized: false,
      timeout: TIMEOUT_MS,
    })
    const end = (verdict: Verdict) => {
      socket.destroy()
      resolve(verdict)
    }
    socket
      .once("secureConnect", () => end("accepted"))
      .once("timeout", () => end("unknown"))
      .once("error", (error) => end(isHandshakeFailure(error) ? "refused" : "unknown"))
  })
}

/** The other end hung up, or sent an alert; an OpenSSL that does not know the versions, or no connection, says nothing of it. */
function isHandshakeFailure(error: Error): boolean {
  const code = "code" in error ? String(error.code) : ""
  return (
    code === "ECONNRESET" || (/^(ERR_SSL_|EPROTO)/.test(code) && code !== "ERR_SSL_NO_PROTOCOLS_AVAILABLE")
  )
}

/** Whether a request without TLS is served: an account that requires secure transfer says `AccountRequiresHttps`. */
export function tryPlainHttp(hostname: string, port: number): Promise<Verdict> {
  return new Promise((resolve) => {
    const request = http.get({ hostname, port, path: "/", agent: false, timeout: TIMEOUT_MS }, (response) => {
      const { statusCode = 0, headers } = response
      response.destroy()
      const refused = headers["x-ms-error-code"] === "AccountRequiresHttps" || statusCode === 400
      resolve(refused ? "refused" : "accepted")
    })
    request
      .once("timeout", () => request.destroy(new Error("no answer")))
      .once("error", (error) =>
        resolve("code" in error && error.code === "ECONNREFUSED" ? "refused" : "unknown"),
      )
  })
}
