import http from "node:http"
import { isIP } from "node:net"
import tls from "node:tls"

/** Whether an endpoint accepts a connection that it should refuse; `unknown` if that cannot be tried from here. */
export type Verdict = "accepted" | "refused" | "unknown"

/** Longest time of one attempt, ms. */
const TIMEOUT_MS = 5_000

/** Tries a handshake below TLS 1.2. Sends nothing over the connection. */
export function tryOldTls(hostname: string, port: number): Promise<Verdict> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      host: hostname,
      port,
      ...(isIP(hostname) === 0 ? { servername: hostname } : {}),
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      // OpenSSL offers these versions only at its lowest security level. The identity of the server does not matter.
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

/** Whether the server refused the handshake. If OpenSSL does not know the versions, or there is no connection, it is not known. */
function isHandshakeFailure(error: Error): boolean {
  const code = "code" in error ? String(error.code) : ""
  return (
    code === "ECONNRESET" || (/^(ERR_SSL_|EPROTO)/.test(code) && code !== "ERR_SSL_NO_PROTOCOLS_AVAILABLE")
  )
}

/** Tries a request without TLS. An account that requires secure transfer answers `AccountRequiresHttps`. */
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
