/** What `error.type` says of an error that is not worth a name of its own. */
const OTHER = "_OTHER"
/** Names of errors that are not ours, told apart at most. They come from loaders, so nobody else bounds them. */
const MAX_NAMES = 64

const NAME = /^[A-Za-z_$][\w$.]{0,63}$/
const names = new Set<string>()

/** The code of a `KvError`, the name of any other error. Of few values, because it tells metrics apart. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return OTHER
  if (isKvError(error)) return error.code
  if (names.has(error.name)) return error.name
  if (names.size >= MAX_NAMES || !NAME.test(error.name)) return OTHER
  names.add(error.name)
  return error.name
}

export function isKvError(error: unknown): error is Error & { code: string } {
  return (
    error instanceof Error && error.name === "KvError" && "code" in error && typeof error.code === "string"
  )
}
