/** What is not part of JSON, or is refused as a part of it. */
type Absent = undefined | symbol | ((...args: never[]) => unknown)
type Refused = bigint | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | RegExp | Error | Uint8Array

/**
 * What `JSON.parse(JSON.stringify(value))` returns of a `T`: the form that `toJSON` gives, so of a `Date` a `string`; no functions, and `never`
 * where the write rejects. `unknown` remains `unknown`.
 */
export type Jsonified<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined
    ? T
    : T extends { toJSON(...args: never[]): infer Form }
      ? Jsonified<Form>
      : T extends Absent | Refused
        ? never
        : T extends readonly (infer Item)[]
          ? number extends T["length"]
            ? Jsonified<Item>[]
            : { -readonly [Index in keyof T]: Jsonified<T[Index]> }
          : {
              [Name in keyof T as T[Name] extends Absent ? never : Exclude<Name, symbol>]: Jsonified<T[Name]>
            }

/** A value that cannot be changed at any depth. */
export type DeepReadonly<T> = T extends object
  ? T extends readonly (infer Item)[]
    ? number extends T["length"]
      ? readonly DeepReadonly<Item>[]
      : { readonly [Index in keyof T]: DeepReadonly<T[Index]> }
    : { readonly [Name in keyof T]: DeepReadonly<T[Name]> }
  : T

/** JSON as a caller gets it, shared with other callers. */
export type SharedJson<T> = DeepReadonly<Jsonified<T>>

/** The option with which a caller gets JSON of its own. */
export interface Mutable {
  mutable: true
}

/** Parsed JSON, of which only the caller knows the type: it fits any. */
export type Parsed = never
