import type { Backend } from "./backend.ts"
import type { KvError } from "./errors.ts"
import type { Runtime } from "./runtime.ts"

/**
 * How a backend describes itself: the URLs and the bindings that name it, and how it is made of what they say. Each
 * backend has one, in its own folder; the client lists them in its catalogue, and knows nothing else of any backend.
 *
 * Importing a description loads neither the backend nor an SDK: {@link BackendDescription.make} does.
 *
 * `Settings` is plain data that JSON keeps whole. Two stores of the same kind and the same settings share one backend.
 */
export interface BackendDescription<Settings extends object = object> {
  /** `BackendTraits.kind` of the backends that are made. */
  readonly kind: string
  readonly url: UrlDescription<Settings>
  /** Absent if the backend is no service of Alien's. */
  readonly alien?: AlienDescription<Settings>
  /** Settings for the store called `name` where none are configured, outside production. One backend has this. */
  defaultSettings?(name: string): Settings
  /**
   * A backend, not yet opened, of settings that this description read. A method, so that a list can hold descriptions
   * with different settings. Rejects with `BINDING_INVALID` if the settings contradict each other.
   */
  make(settings: Settings, options: MakeOptions): Promise<Backend>
}

export interface MakeOptions {
  readonly runtime: Runtime
  /** Time one call of the store may take, ms. */
  readonly timeoutMs: number
}

/** An error `BINDING_INVALID` whose message is `message`, a predicate, behind the name of what is refused. */
export type Refuse = (message: string) => KvError

export interface UrlDescription<Settings> {
  /** Each scheme in lower case, with the form of its URLs for messages and help: `{ lmdb: "lmdb:PATH" }`. */
  readonly forms: Readonly<Record<string, string>>
  /** The settings that a URL of one of these schemes holds; `undefined` if it is of none of the forms. */
  read(url: UrlReader): Settings | undefined
}

/** A URL that is being read. Messages never show it. */
export interface UrlReader {
  /** The URL as it was written. It may hold a credential. */
  readonly text: string
  readonly refuse: Refuse
  /**
   * The parts of a URL of the form `SCHEME://PART/PART?PARAMETER=…`, percent-decoded, by the names given. Refuses more
   * parts or fewer, an empty one, credentials, a fragment and a parameter of another name.
   */
  readonly place: <const Part extends string, const Parameter extends string>(
    parts: readonly Part[],
    parameters: readonly Parameter[],
  ) => Record<Part, string> & Partial<Record<Parameter, string>>
}

export interface AlienDescription<Settings> {
  /** The value of `service` in the bindings. */
  readonly service: string
  /** The settings that a binding of this service holds. */
  read(fields: FieldReader): Settings
}

/**
 * The fields of a binding that is being read. The methods take the names of fields with the names of the settings that
 * they become. Fields that nothing reads are of a later release, and ignored.
 */
export interface FieldReader {
  readonly refuse: Refuse
  /** Texts that are not empty. An optional one may be absent or `null`, and is then no setting. */
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
