import { KvError, type KvErrorCode } from "../../tiers/errors.ts"

/** The error that `call`, a function or a promise, fails with. Rejects if it is answered, or fails with another error. */
export async function failureOf(call: unknown): Promise<KvError> {
  const failure = await failureIn(call)
  if (failure === undefined) throw new Error("the call was answered")
  return failure
}

/** The code of that error, or that there is none. */
export async function codeOf(call: unknown): Promise<KvErrorCode | "answered"> {
  return (await failureIn(call))?.code ?? "answered"
}

async function failureIn(call: unknown): Promise<KvError | undefined> {
  try {
    await (typeof call === "function" ? call() : call)
    return undefined
  } catch (error) {
    if (error instanceof KvError) return error
    throw error
  }
}
