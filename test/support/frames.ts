import { createHook, executionAsyncId } from "node:async_hooks"
import { sep } from "node:path"
import { fileURLToPath } from "node:url"

/** A function of the package that is on the stack, or was when an asynchronous step was scheduled. */
export interface Frame {
  /** Path from the root of the project. */
  readonly file: string
  readonly name: string
}

export interface FrameWatch {
  /**
   * The frames on the way to the call of this: those on the stack, and those that were on it wherever an asynchronous step
   * on the way was scheduled. Outermost first.
   */
  way(): Frame[]
  stop(): void
}

/** Where an asynchronous step was scheduled: the frames on the stack, innermost first, and the step that they ran in. */
interface Origin {
  readonly frames: readonly Frame[]
  readonly parent: number
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url))
const PACKAGE = ["src", "tiers", "telemetry"].map((folder) => ROOT + folder + sep)

/** Notes from now on where every asynchronous step is scheduled. */
export function watchFrames(): FrameWatch {
  const origins = new Map<number, Origin>()
  const hook = createHook({
    init: (asyncId) => void origins.set(asyncId, { frames: stackFrames(), parent: executionAsyncId() }),
  }).enable()

  return {
    way() {
      const way = [...stackFrames()]
      for (let origin = origins.get(executionAsyncId()); origin !== undefined; ) {
        // An asynchronous function that continues was on the stack when its wait began.
        const [resumed, waiting] = [way.at(-1), origin.frames[0]]
        const same = resumed?.file === waiting?.file && resumed?.name === waiting?.name
        way.push(...origin.frames.slice(same ? 1 : 0))
        origin = origins.get(origin.parent)
      }
      return way.reverse()
    },
    stop: () => void hook.disable(),
  }
}

/** The frames of the package on the stack, innermost first. */
function stackFrames(): Frame[] {
  const { prepareStackTrace, stackTraceLimit } = Error
  Error.stackTraceLimit = Number.POSITIVE_INFINITY
  Error.prepareStackTrace = (_, sites) => sites
  const sites: unknown = new Error().stack
  Error.prepareStackTrace = prepareStackTrace
  Error.stackTraceLimit = stackTraceLimit
  if (!Array.isArray(sites)) throw new Error("V8 has given the stack as text")
  return sites.flatMap((site: NodeJS.CallSite) => {
    const path = site.getFileName()?.replace(/^file:\/\//, "")
    // The functions that wait for the one at the bottom are found by where it was scheduled.
    if (path === undefined || site.isAsync() || !PACKAGE.some((folder) => path.startsWith(folder))) return []
    return [{ file: path.slice(ROOT.length), name: site.getFunctionName() ?? `line ${site.getLineNumber()}` }]
  })
}
