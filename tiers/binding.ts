import type { Backend } from "./backend.ts"
import type { KvError } from "./errors.ts"
import type { Runtime } from "./runtime.ts"

/**
 * How a backend describes itself: the URLs and the Alien bindings that name it, and how it is made from them. Each backend has a
 * description in its folder. The client lists the descriptions in its catalogue, and has no other knowledge of a backend.
 *
 * Importing a description loads neither the backend nor an SDK: {@link BackendDescription.make} does.
 *
 * `Settings` is plain data that JSON can represent. Handles of a store share it if kind and settings are equal.
 */
export interface BackendDescription<Settings extends object = object> {
  /** `BackendTraits.kind` of the backends that are made. */
  readonly kind: string
  readonly url: UrlDescription<Settings>
  /** Absent if Alien has no such service. */
  readonly alien?: AlienDescription<Settings>
  /** Settings for the store called `name` if none are configured, outside production. One backend has this method. */
  defaultSettings?(name: string): Settings
  /**
   * Whether the store is there, found out without making it. Absent where opening makes nothing.
   */
  isThere?(settings: Settings): Promise<boolean>
  /**
   * Makes a backend, not yet open, from settings that this description read. A method, not a property, so that a list can hold
   * descriptions with different `Settings`. Rejects with `BINDING_INVALID` if the settings contradict each other.
   */
  make(settings: Settings, options: MakeOptions): Promise<Backend>
}

export interface MakeOptions {
  readonly runtime: Runtime
  /** Longest time of one request, where the call has no limit of its own, ms. */
  readonly timeoutMs: number
  /**
   * Whether the backend opens although its server cannot be reached; its calls are `UNAVAILABLE` until it can. Backends that connect with
   * their first call need not look at it. @default false
   */
  readonly openLazily?: boolean | undefined
}

/** Makes a `BINDING_INVALID` error. `message` is a predicate; its subject is put before it: "The backend URL names no path". */
export type Refuse = (message: string) => KvError

export interface UrlDescription<Settings> {
  /** Each scheme in lower case, with the form of its URLs for messages and help: `{ lmdb: "lmdb:PATH" }`. */
  readonly forms: Readonly<Record<string, string>>
  /** The settings in a URL with one of these schemes; `undefined` if the URL has none of the forms. */
  read(url: UrlReader): Settings | undefined
  /**
   * The settings of the store called `name` from those of its URL, for a service without tables, where two stores with one URL would otherwise be
   * one. @default the settings of the URL
   */
  ofStore?(settings: Settings, name: string): Settings
}

/** A URL to read settings from. Messages never show it. */
export interface UrlReader {
  /** The URL as it was written. It may hold a credential. */
  readonly text: string
  readonly refuse: Refuse
  /**
   * The parts of a URL of the form `SCHEME://PART/PART?PARAMETER=…`, percent-decoded, under the given names. Refuses another number of
   * parts, an empty part, credentials, a fragment, and an unknown parameter.
   */
  readonly place: <const Part extends string, const Parameter extends string>(
    parts: readonly Part[],
    parameters: readonly Parameter[],
  ) => Record<Part, string> & Partial<Record<Parameter, string>>
}

export interface AlienDescription<Settings> {
  /** The value of `service` in the bindings. */
  readonly service: string
  /** The settings in a binding of this service. */
  read(fields: FieldReader): Settings
}

/**
 * The fields of a binding to read settings from. The methods take field names with the names of their settings, and refuse a field of
 * the wrong type. Fields that no method reads are ignored: a later release of Alien may add fields.
 */
export interface FieldReader {
  readonly refuse: Refuse
  /** Texts that are not empty. An optional one that is absent or `null` gives no setting. */
  readonly texts: <
    const Required extends Readonly<Record<string, string>>,
    const Optional extends Readonly<Record<string, string>> = Record<never, never>,
  >(
    required: Required,
    optional?: Optional,
  ) => Record<Required[keyof Required], string> & Partial<Record<Optional[keyof Optional], string>>
  /** Whole numbers of at least 0, all optional. */
  readonly wholeNumbers: <const Optional extends Readonly<Record<string, string>>>(
    optional: Optional,
  ) => Partial<Record<Optional[keyof Optional], number>>
}
