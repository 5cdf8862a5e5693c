import { KvError } from "../errors.ts"

/** An error of a whole batch as the error of one of its keys: a copy that names the key, with the original as its `cause`. */
export function ofKey(error: KvError, key: string): KvError {
  if (error.key === key) return error
  const { code, message, operation, backend, limit, actual } = error
  return new KvError(code, message, { operation, backend, key, limit, actual, cause: error })
}
