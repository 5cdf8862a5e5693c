import type { Context, ContextManager } from "@opentelemetry/api"
import type { CallObserver, ObservedCall } from "../tiers/wrappers/resilience/observer.ts"
import { activeContext, registered } from "./api.ts"
import { isEntered } from "./providers.ts"
import { safely } from "./safely.ts"

/** The key that `@opentelemetry/core` uses. */
const SUPPRESS_TRACING = Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING")

let manager: ContextManager | undefined
let enter: ContextManager["with"] | undefined

/** Enters contexts, if a context manager is registered now that can. */
function entering(): ContextManager["with"] | undefined {
  const { context } = registered()
  if (context !== manager) {
    manager = context
    enter = context && safely(() => isEntered(context)) ? context.with.bind(context) : undefined
  }
  return enter
}

/**
 * The scope of a request to a service, after `context`, by default the active one: in it no instrumentation of an SDK makes spans, which would show
 * keys and values. `undefined` if contexts cannot be entered: then an instrumentation has no context to look at.
 */
export function suppressed(context?: Context): Context | undefined {
  if (entering() === undefined) return undefined
  return safely(() => (context ?? activeContext()).setValue(SUPPRESS_TRACING, true))
}

/** Calls a function in a scope that {@link suppressed} made: the context manager itself, without a frame of ours around each attempt. */
export function runner(): CallObserver["run"] {
  return enter ?? withoutScope
}

const withoutScope: CallObserver["run"] = (_scope, send, _self, ...args) => send(...args)

/** Opens a backend. What it does later by itself, such as a sweep, is traced as little as its calls. */
export async function openSuppressed(open: () => Promise<void>): Promise<void> {
  const scope = suppressed()
  return scope === undefined ? open() : runner()(scope, open, undefined)
}

/** A call that is not reported. */
export class SuppressedCall implements ObservedCall {
  readonly scope: Context

  constructor(scope: Context) {
    this.scope = scope
  }

  retried(): void {}
  ended(): void {}
  failed(): void {}
}

/** Reports nothing, and keeps the instrumentations of the SDKs from it as well: the observer of a store without telemetry. */
export const suppressing: CallObserver = {
  answered: undefined,
  get run() {
    return runner()
  },
  begin() {
    const scope = suppressed()
    return scope && new SuppressedCall(scope)
  },
}
