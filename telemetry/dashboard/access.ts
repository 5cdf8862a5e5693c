import { createHmac, timingSafeEqual } from "node:crypto"

/** Where a request comes from, as far as the server knows; `Request` itself does not say. */
export interface Peer {
  /** The other end of the connection: `127.0.0.1`, `::1`, … */
  readonly remoteAddress?: string | undefined
}

/** Whether a request may see the page, and if not, why. */
export type Admission =
  | { readonly admitted: true }
  /** Brought the token in its URL: it gets a cookie instead, so that the token does not stay there. */
  | { readonly admitted: false; readonly cookie: string }
  | { readonly admitted: false; readonly status: 401 | 403; readonly reason: string }

/** Headers by which a proxy says that it speaks for somebody else. */
const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"]

/** Without a token: admits what comes over loopback and asks for a loopback host, so that no rebound DNS name gets in. */
export function admitLoopback(request: Request, url: URL, peer: Peer | undefined): Admission {
  const reason = strangenessOf(request, url, peer)
  return reason === undefined ? { admitted: true } : { admitted: false, status: 403, reason }
}

function strangenessOf({ headers }: Request, url: URL, peer: Peer | undefined): string | undefined {
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

/** With a token: admits what brings it, wherever it comes from. */
export class TokenGate {
  readonly #token: string
  /** Told apart by the token, because the ports of a host share its cookies. */
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
    const reason = wrong ? "This token is not the one of this page" : "This page asks for its token"
    return { admitted: false, status: 401, reason }
  }
}

/** Compares without telling by its time how much of the two is the same. */
function isSame(given: string | undefined, expected: string): boolean {
  return given !== undefined && timingSafeEqual(digest(given), digest(expected))
}

function digest(text: string): Buffer {
  return createHmac("sha256", "tiered-kv dashboard").update(text).digest()
}

/** Says nothing of the token to whoever reads it. */
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

/** `127.0.0.0/8` and `::1`, the former also as IPv6 writes it. */
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
