import type { Backend } from "../../tiers/backend.ts"
import type { Runtime } from "../../tiers/runtime.ts"
import type { CallListener } from "../listener.ts"

/** What a backend over a network needs: calls that end in time and are tried again, and reads that travel together. */
export async function overNetwork(
  backend: Backend,
  runtime: Runtime,
  timeoutMs: number,
  listener: CallListener | undefined,
): Promise<Backend> {
  const [{ coalescing }, { resilient }] = await Promise.all([
    import("../../tiers/wrappers/coalescing.ts"),
    import("../../tiers/wrappers/resilience/resilience.ts"),
  ])
  if (listener === undefined) return coalescing(resilient(backend, { runtime, timeoutMs }))
  const onRetry = () => listener.onRetry()
  const tried = resilient(listener.metered(backend), { runtime, timeoutMs, onRetry })
  return coalescing(listener.observed(tried), {
    capture: () => listener.capture(),
    run: (captured, _keys, send) => listener.run(captured, send),
  })
}
