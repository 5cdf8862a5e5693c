import { KvError } from "../../tiers/errors.ts"

export const EXIT = { done: 0, no: 1, usage: 2, failed: 3 } as const

/** The command line, or a file that it names, is not valid. Exit code 2. */
export class InputError extends Error {
  readonly code:
    | "USAGE"
    | "INPUT_UNREADABLE"
    | "INPUT_EMPTY"
    | "INPUT_DAMAGED"
    | "FORMAT_UNKNOWN"
    | "VALUE_TOO_LARGE"

  constructor(code: InputError["code"], message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  override get name(): string {
    return "InputError"
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof InputError) return EXIT.usage
  if (!(error instanceof KvError)) return EXIT.failed
  return error.code.startsWith("INVALID_") || error.code.startsWith("BINDING_") ? EXIT.usage : EXIT.failed
}

/** Advice for the user of the command line, by error code; the messages of the library do not give it. */
const ADVICE: Partial<Record<string, string>> = {
  BINDING_NOT_CONFIGURED: "Or name the store with --backend URL.",
  THROTTLED: "The store is short of capacity; try again shortly.",
  UNAVAILABLE: "Check that the store is up and reachable from here, then try again.",
  TIMEOUT: "The store did not answer in time; try again.",
  OUTCOME_UNKNOWN: "Read the key with --strong to see whether the write was applied.",
}

/** The error as one or two lines for a person, or as one line of JSON for a program; the stack only if `debug`. */
export function describeFailure(error: unknown, { json, debug }: { json: boolean; debug: boolean }): string {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  const stack = debug && error instanceof Error ? stackOf(error) : undefined
  if (json) {
    const retryable = error instanceof KvError && error.retryable
    return `${JSON.stringify({ error: { code, message, retryable, ...(stack === undefined ? {} : { stack }) } })}\n`
  }
  const advice = ADVICE[code]
  return `tiered-kv: ${code}: ${message}\n${advice === undefined ? "" : `${advice}\n`}${stack ?? ""}`
}

function codeOf(error: unknown): string {
  if (error instanceof KvError || error instanceof InputError) return error.code
  return "INTERNAL"
}

function stackOf(error: Error): string {
  const lines = [error.stack ?? error.message]
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    lines.push(`caused by ${cause.stack ?? cause.message}`)
  }
  return `${lines.join("\n")}\n`
}
