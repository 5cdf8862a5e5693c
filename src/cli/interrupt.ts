/** Turns the first SIGINT or SIGTERM into an abort signal, so that the command can finish its output. A second one ends the process. */
export function interruptible(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController()
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    controller.abort()
  }
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt)
  return {
    signal: controller.signal,
    release: () => void process.off("SIGINT", interrupt).off("SIGTERM", interrupt),
  }
}

/** Exit code of an interrupted command: 128 and the number of SIGINT. */
export const INTERRUPTED = 130
