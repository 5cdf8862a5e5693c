import type { RequestOptions } from "../backend.ts"
import type { KvError } from "../errors.ts"
import type { Runtime } from "../runtime.ts"
import type { OpenOnce } from "../util/open-once.ts"
import { type FailedRequest, toKvError, Unprocessed } from "./errors.ts"
import type { FirestoreDocument, FirestoreRequests, Limits } from "./requests.ts"

/** One call of a method of the backend. It makes one request, or a few after each other. */
export interface Call {
  /** The method. */
  readonly operation: string
  readonly key?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** What is left of the limits of the call. */
  readonly limits: () => Limits
}

interface CallsOptions {
  runtime: Runtime
  /** Limit of a call that has none of its own, ms. */
  requestTimeoutMs: number
  /** Database and collection, for messages. */
  target: string
  mayRepeat: boolean
}

/** Bounds the calls of the methods, and maps their failures. */
export class Calls {
  readonly #connection: OpenOnce<FirestoreRequests>
  readonly #options: CallsOptions

  constructor(connection: OpenOnce<FirestoreRequests>, options: CallsOptions) {
    this.#connection = connection
    this.#options = options
  }

  begin(
    operation: string,
    request: (RequestOptions & { signal?: AbortSignal }) | undefined,
    key?: string,
  ): Call {
    const { runtime, requestTimeoutMs } = this.#options
    const end = runtime.monotonic() + (request?.timeoutMs ?? requestTimeoutMs)
    const signal = request?.signal
    return { operation, key, signal, limits: () => ({ limitMs: end - runtime.monotonic(), signal }) }
  }

  /** What the call makes its requests with. Throws `CLOSED`, or the reason of the signal. */
  requests({ operation, key, signal }: Call): FirestoreRequests {
    signal?.throwIfAborted()
    return this.#connection.use(operation, key)
  }

  /** Decodes the answer to a request. Any failure becomes a {@link KvError}, or the reason of the signal. */
  async answered<Answer, T>(
    call: Call,
    effect: FailedRequest["effect"],
    answer: Promise<Answer>,
    decode: (answer: Answer) => T,
  ): Promise<T> {
    try {
      return decode(await answer)
    } catch (error) {
      call.signal?.throwIfAborted()
      throw this.failure(error, call, effect)
    }
  }

  failure(
    error: unknown,
    { operation, key }: Pick<Call, "operation" | "key">,
    effect: FailedRequest["effect"],
  ): KvError {
    const { target, mayRepeat } = this.#options
    return toKvError(error, { operation, key, effect, target, mayRepeat })
  }
}

/** The document in an answer; `undefined` if the answer says that it is absent. Throws {@link Unprocessed} if the answer does not have it. */
export function documentIn(
  documents: ReadonlyMap<string, FirestoreDocument | undefined>,
  id: string,
): FirestoreDocument | undefined {
  if (documents.has(id)) return documents.get(id)
  throw new Unprocessed("the answer ended without this document")
}
