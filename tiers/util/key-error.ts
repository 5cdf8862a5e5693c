import { KvError } from "../errors.ts"

/** Makes the error of one key from the error of its batch: a copy with the key, and the original as its `cause`. */
export function ofKey(error: KvError, key: string): KvError {
  if (error.key === key) return error
  const { code, message, operation, backend, limit, actual } = error
  return new KvError(code, message, { operation, backend, key, limit, actual, cause: error })
}
