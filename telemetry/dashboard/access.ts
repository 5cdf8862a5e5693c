import { createHmac, timingSafeEqual } from "node:crypto"

/** The sender of a request. `Request` has no field for it. */
export interface Peer {
  /** The other end of the connection: `127.0.0.1`, `::1`, … */
  readonly remoteAddress?: string | undefined
}

/** Whether a request is admitted, and the reason if it is not. */
export type Admission =
  | { readonly admitted: true }
  /** The token is in the URL: the answer sets a cookie in exchange, so that the token does not stay in the URL. */
  | { readonly admitted: false; readonly cookie: string }
  | { readonly admitted: false; readonly status: 401 | 403; readonly reason: string }

/** Headers that a proxy adds to the requests which it forwards. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]

/**
 * Without a token: admits a request that comes over loopback and whose host is a loopback name. The second condition
 * prevents DNS rebinding.
 */
export function admitLoopback(request: Request, url: URL, peer: Peer | undefined): Admission {
  const reason = refusalReasonOf(request, url, peer)
  return reason === undefined ? { admitted: true } : { admitted: false, status: 403, reason }
}

function refusalReasonOf({ headers }: Request, url: URL, peer: Peer | undefined): string | undefined {
  const address = peer?.remoteAddress
  if (typeof address !== "string") {
    return "The server does not tell this page where a request comes from: pass the handler { remoteAddress } as its second argument"
  }
  if (!isLoopbackAddress(address)) return "This request comes from another machine"
  if (FORWARDED.some((name) => headers.has(name))) return "This request comes through a proxy"
  const host = headers.get("host")
  if (!isLoopbackHost(url.hostname) || (host !== null && !isLoopbackHost(hostnameOf(host)))) {
    return "This request asks for a host that is not localhost"
  }
  return undefined
}

/** With a token: admits every request that carries it. */
export class TokenGate {
  readonly #token: string
  /** Differs for each token, because cookies are shared by all ports of a host. */
  readonly #cookieName: string
  readonly #cookieValue: string

  constructor(token: string) {
    this.#token = token
    this.#cookieName = `tiered-kv-dashboard-${sign(token, "name").slice(0, 8)}`
    this.#cookieValue = sign(token, "session")
  }

  admit({ headers }: Request, url: URL): Admission {
    const inUrl = url.searchParams.get("token")
    if (inUrl !== null && isSame(inUrl, this.#token)) {
      const secure = url.protocol === "https:" ? "; Secure" : ""
      const cookie = `${this.#cookieName}=${this.#cookieValue}; HttpOnly; SameSite=Lax${secure}`
      return { admitted: false, cookie }
    }
    const bearer = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1]
    const session = cookieOf(headers.get("cookie") ?? "", this.#cookieName)
    if (isSame(bearer, this.#token) || isSame(session, this.#cookieValue)) return { admitted: true }
    const wrong = inUrl !== null || bearer !== undefined
    const reason = wrong ? "This token is wrong" : "This page requires a token"
    return { admitted: false, status: 401, reason }
  }
}

/** Compares in constant time. */
function isSame(given: string | undefined, expected: string): boolean {
  return given !== undefined && timingSafeEqual(digest(given), digest(expected))
}

function digest(text: string): Buffer {
  return createHmac("sha256", "tiered-kv dashboard").update(text).digest()
}

/** A signature that does not reveal the token. */
function sign(token: string, purpose: string): string {
  return createHmac("sha256", token).update(`tiered-kv dashboard ${purpose}`).digest("base64url")
}

function cookieOf(header: string, name: string): string | undefined {
  for (const pair of header.split(";")) {
    const [found, value] = pair.trim().split("=", 2)
    if (found === name) return value
  }
  return undefined
}

/** Whether the address is `::1`, or in `127.0.0.0/8`, also in the notation of IPv6. */
export function isLoopbackAddress(address: string): boolean {
  return /^(::ffff:)?127(\.\d{1,3}){3}$/i.test(address) || address === "::1"
}

function isLoopbackHost(hostname: string): boolean {
  return /^(.+\.)?localhost$/i.test(hostname) || isLoopbackAddress(hostname.replace(/^\[(.*)\]$/, "$1"))
}

function hostnameOf(host: string): string {
  try {
    return new URL(`http://${host}`).hostname
  } catch {
    return ""
  }
}
