/** Turns Ctrl-C and a termination into a signal, so that a command can end its own way; a second one ends it at once. */
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
