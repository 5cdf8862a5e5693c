import { createHash } from "node:crypto"
import { MARKUP, SCRIPT, STYLE } from "./page-text.ts"
import { refusalDocument } from "./refusal.ts"

/** The answers of the dashboard. Their headers forbid browsers to store them, guess their type, frame them or share them. */

const HEADERS = {
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
}

const DOCUMENT = inlined(
  inlined(MARKUP, '<link rel="stylesheet" href="style.css">', `<style>${STYLE}</style>`),
  '<script src="main.ts"></script>',
  `<script>${SCRIPT}</script>`,
)

const NOTHING = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
const STYLED = `${NOTHING}; img-src data:; style-src ${hashOf(STYLE)}`
const PAGE_POLICY = `${STYLED}; script-src ${hashOf(SCRIPT)}; connect-src 'self'; form-action 'none'`
const REFUSAL_POLICY = `${STYLED}; form-action 'self'`

export function page(): Response {
  return html(200, DOCUMENT, PAGE_POLICY)
}

export function report(json: string): Response {
  return respond(200, "application/json", `${json}\n`)
}

/** 401 where a token would admit the request, 403 where it would not. */
export function refusal(status: 401 | 403, reason: string): Response {
  const response = html(status, refusalDocument(reason, status === 401), REFUSAL_POLICY)
  if (status === 401) response.headers.set("www-authenticate", 'Bearer realm="tiered-kv dashboard"')
  return response
}

export function redirect(location: string, cookie?: string): Response {
  const response = respond(303, "text/plain", `See ${location}\n`)
  response.headers.set("location", location)
  if (cookie !== undefined) response.headers.set("set-cookie", cookie)
  return response
}

export function notFound(): Response {
  return respond(404, "text/plain", "There is nothing at this address\n")
}

export function wrongMethod(): Response {
  const response = respond(405, "text/plain", "The dashboard answers only GET and HEAD\n")
  response.headers.set("allow", "GET, HEAD")
  return response
}

function html(status: number, body: string, policy: string): Response {
  const response = respond(status, "text/html", body)
  response.headers.set("content-security-policy", policy)
  return response
}

function respond(status: number, type: string, body: string): Response {
  return new Response(body, {
    status,
    headers: {
      ...HEADERS,
      "content-security-policy": NOTHING,
      "content-type": type === "application/json" ? type : `${type}; charset=utf-8`,
    },
  })
}

/** A document with an element of its own in place of one that refers to a file. */
function inlined(document: string, reference: string, element: string): string {
  if (!document.includes(reference)) throw new Error(`page.html has no ${reference}`)
  return document.replace(reference, () => element)
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`
}
