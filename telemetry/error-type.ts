/** `error.type` of errors without a name of their own. */
const OTHER = "_OTHER"
/** Maximum number of distinct names of foreign errors. They come from loaders, so nothing else bounds their number. */
const MAX_NAMES = 64

const NAME = /^[A-Za-z_$][\w$.]{0,63}$/
const names = new Set<string>()

/** The code of a `KvError`, the name of any other error. It has few values, because it is an attribute of metrics. */
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
