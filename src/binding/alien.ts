import type { FieldReader, Refuse } from "../../tiers/binding.ts"
import { describe } from "../../tiers/util/checks.ts"
import { type Binding, CATALOGUE } from "./catalogue.ts"
import { refuseOf } from "./refuse.ts"

/** Parses an Alien binding. `source` names its origin in messages; the binding itself may hold a credential and is never shown. */
export function parseAlienBinding(json: string, source: string): Binding {
  const refuse = refuseOf(source)
  const fields = parseObject(json, refuse)
  for (const backend of CATALOGUE) {
    const { alien } = backend
    if (alien === undefined || alien.service !== fields.service) continue
    return { backend, settings: alien.read(fieldReader(fields, alien.service, refuse)) }
  }
  const services = CATALOGUE.flatMap(({ alien }) => alien?.service ?? []).join(", ")
  throw refuse(
    `has ${fields.service === undefined ? "no service" : "an unknown service"}; known are ${services}`,
  )
}

type Fields = Readonly<Record<string, unknown>>
/** Field name → setting name. */
type Names = Readonly<Record<string, string>>

function fieldReader(fields: Fields, service: string, refuse: Refuse): FieldReader {
  const text = (field: string): string => {
    const value = fields[field]
    if (typeof value === "string" && value !== "") return value
    throw refuse(`has in "${field}" ${describe(value)}; it is a text`)
  }
  const wholeNumber = (field: string): number => {
    const value = fields[field]
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value
    throw refuse(`has in "${field}" ${describe(value)}; it is a whole number of at least 0`)
  }
  return {
    refuse,
    texts(required, optional) {
      for (const field of Object.keys(required)) {
        if (fields[field] === undefined) throw refuse(`lacks the field "${field}" of a ${service} binding`)
      }
      return { ...settingsOf(required, text), ...givenOf(optional ?? {}, text) }
    },
    wholeNumbers: (optional) => givenOf(optional, wholeNumber),
  }

  /** The settings of the fields that are present. */
  function givenOf<N extends Names, T>(names: N, read: (field: string) => T) {
    const given = Object.entries(names).filter(([field]) => (fields[field] ?? null) !== null)
    return settingsOf(Object.fromEntries(given), read) as Partial<Record<N[keyof N], T>>
  }
}

function settingsOf<N extends Names, T>(names: N, read: (field: string) => T) {
  const settings = Object.entries(names).map(([field, setting]) => [setting, read(field)])
  return Object.fromEntries(settings) as Record<N[keyof N], T>
}

function parseObject(json: string, refuse: Refuse): Fields {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    throw refuse("is not JSON") // the parser's message quotes the text, which may hold a credential
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value }
  throw refuse("is not a JSON object")
}
