import type { Refuse, UrlReader } from "../../tiers/binding.ts"
import { type Binding, CATALOGUE } from "./catalogue.ts"
import { refuseOf } from "./refuse.ts"

/** Parses the URL of a store. `source` names its origin in messages; the URL itself may hold a credential and is never shown. */
export function parseUrl(text: string, source = "The backend URL"): Binding {
  const refuse = refuseOf(source)
  const scheme = /^([a-z][a-z0-9+-]*):/i.exec(text)?.[1]?.toLowerCase()
  for (const backend of CATALOGUE) {
    const form = Object.entries(backend.url.forms).find(([own]) => own === scheme)?.[1]
    if (form === undefined) continue
    const settings = backend.url.read({ text, refuse, place: placeReader(text, form, refuse) })
    if (settings !== undefined) return { backend, settings }
  }
  throw refuse(`is none of ${listedUrlForms()}`)
}

/** The binding of the store called `name` with this URL. On Redis, which has no tables, its keys begin with the name, unless the URL has a prefix. */
export function parseUrlOf(name: string, text: string, source?: string): Binding {
  const { backend, settings } = parseUrl(text, source)
  return { backend, settings: backend.url.ofStore?.(settings, name) ?? settings }
}

/** The forms of the URLs of all backends. */
export function urlForms(): string[] {
  return CATALOGUE.flatMap(({ url }) => Object.values(url.forms))
}

/** The same, as a list in a sentence. */
export function listedUrlForms(): string {
  const forms = urlForms()
  return `${forms.slice(0, -1).join(", ")} or ${forms.at(-1)}`
}

function placeReader(text: string, form: string, refuse: Refuse): UrlReader["place"] {
  return (names, parameters) => {
    if (!URL.canParse(text)) throw refuse(`is not a well-formed URL; it is one of ${listedUrlForms()}`)
    const url = new URL(text)
    if (url.username !== "" || url.password !== "" || url.hash !== "") {
      throw refuse(
        "holds a user, a password or a fragment; credentials come from where the service's SDK finds them",
      )
    }
    const parts = [url.host, ...url.pathname.split("/").slice(1)].map((part) => decoded(part, refuse))
    const given = readParameters(url, parameters, refuse)
    if (parts.length !== names.length || parts.includes("")) throw refuse(`is not of the form ${form}`)
    return { ...named(names, parts), ...given }
  }
}

function named<N extends string>(names: readonly N[], values: readonly string[]): Record<N, string> {
  return Object.fromEntries(names.map((name, index) => [name, values[index]])) as Record<N, string>
}

function decoded(part: string, refuse: Refuse): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw refuse("has a % that is not followed by two hexadecimal digits of UTF-8")
  }
}

function readParameters<N extends string>(
  url: URL,
  known: readonly N[],
  refuse: Refuse,
): Partial<Record<N, string>> {
  for (const name of url.searchParams.keys()) {
    if (!known.some((one) => one === name))
      throw refuse(`has an unknown parameter "${name}"; known are ${known.join(", ")}`)
  }
  return Object.fromEntries(url.searchParams) as Partial<Record<N, string>>
}
