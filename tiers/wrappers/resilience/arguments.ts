import type { Callers, RequestOptions } from "../../backend.ts"
import { isObject } from "../../util/checks.ts"
import type { Subject } from "./observer.ts"

/** The arguments of a request, where its options are the second. */
export function first<S>(
  [subject]: [subject: S, request?: RequestOptions | undefined],
  request: RequestOptions,
): [S, RequestOptions] {
  return [subject, request]
}

/** The arguments of a request, where its options are the third. */
export function second<S, I>(
  [subject, item]: [subject: S, item: I, request?: RequestOptions | undefined],
  request: RequestOptions,
): [S, I, RequestOptions] {
  return [subject, item, request]
}

/** The request of a first attempt, which a replica may answer if `args` say so. Later ones are asked of the primary. */
export function firstRequest(request: RequestOptions, [, options]: [Subject, ...unknown[]]): RequestOptions {
  if (!isObject(options) || !("asOf" in options) || typeof options.asOf !== "number") return request
  return { ...request, asOf: options.asOf }
}

/** The callers of a read: only its second argument is a {@link RequestOptions}. */
export function callersIn([, request]: readonly [Subject, ...unknown[]]): Callers | undefined {
  return isObject(request) && "callers" in request && Array.isArray(request.callers)
    ? request.callers
    : undefined
}

/** Whether a write or a delete of one row has a condition. */
export function isConditional([, item]: readonly [Subject, ...unknown[]]): boolean {
  return isObject(item) && "condition" in item && item.condition !== undefined
}
