import type {
  Backend,
  BackendOperation,
  BackendTraits,
  Removal,
  ScanRequest,
  Write,
} from "../../tiers/backend.ts"
import type { KvError } from "../../tiers/errors.ts"
import { remoteMemory } from "./remote-memory.ts"

/**
 * A backend whose calls wait for the test, and fail where the test says so. Nothing in it looks at a clock.
 *
 * ```ts
 * const gate = gatedBackend({ backend: remoteMemory({ runtime }) })
 *
 * gate.hold("get")                          // from now on every get waits before it reads
 * const reading = client.get("a")
 * await settle()
 * gate.take("get").release()                // the oldest waiting get reads now, and answers
 * await reading
 *
 * gate.hold("get", "reply")                 // every get reads at once, and its answer waits: a stale read in flight
 * gate.take("get").fail(error)              // instead of an answer: this error
 * gate.releaseAll()                         // holds nothing any more, and lets go of what waits
 *
 * gate.script("put", "pass", { fail: throttled }, { loseReply: unknown }, { landLate: unknown })
 *                                           // what befalls the next four puts, whatever their keys
 * await gate.last("put").land()             // the fourth is applied now, long after its caller gave it up
 * gate.script("getMany", { keys: { b: throttled } })
 *                                           // the others are served
 * gate.always("get", { fail: unavailable }) // an outage, until gate.always("get", undefined)
 *
 * gate.count("get"), gate.last("put").writes.get("a")?.id
 * ```
 *
 * Every call is recorded in `calls` when it arrives. Answers always come as promises.
 */
export function gatedBackend(options: GatedBackendOptions = {}): GatedBackend {
  const backend = options.backend ?? remoteMemory()
  const calls: PendingCall[] = []
  const holds = new Map<GatedOperation, HoldPoint>()
  const scripts = new Map<GatedOperation, Fault[]>()
  const standing = new Map<GatedOperation, Fault>()

  /** Runs one call through the gate: `effect` is given the keys that no fault keeps from being served. */
  async function pass<T>(call: PendingCall, effect: (keys: readonly string[]) => T | Promise<T>): Promise<T> {
    const { operation, keys } = call
    calls.push(call)
    const fault = scripts.get(operation)?.shift() ?? standing.get(operation) ?? "pass"
    const point = typeof fault === "object" && "hold" in fault ? fault.hold : holds.get(operation)
    const perform = async (served: readonly string[]) => {
      call.applied = true
      return effect(served)
    }
    call.perform = async () => void (await perform(keys))

    try {
      if (point === "request") await call.wait()
      if (typeof fault === "object") {
        if ("fail" in fault) {
          call.perform = undefined
          throw fault.fail
        }
        if ("landLate" in fault) throw fault.landLate
      }
      const failing = typeof fault === "object" && "keys" in fault ? fault : undefined
      const result = await perform(
        failing === undefined || failing.applied
          ? keys
          : keys.filter((key) => !Object.hasOwn(failing.keys, key)),
      )
      if (point === "reply") await call.wait()
      if (typeof fault === "object" && "loseReply" in fault) throw fault.loseReply
      if (failing !== undefined && result instanceof Map) {
        for (const key of keys) if (Object.hasOwn(failing.keys, key)) result.set(key, failing.keys[key])
      }
      return result
    } finally {
      call.state = "answered"
    }
  }

  const { compareVersions, serviceTime } = backend
  return {
    traits: { ...backend.traits, inProcess: false, ...options.traits },
    open: () => backend.open(),
    close: () => backend.close(),

    get: (key) => pass(new PendingCall("get", [key]), () => backend.get(key)),
    getMany: (keys) => pass(new PendingCall("getMany", [...keys]), (served) => backend.getMany(served)),
    exists: (key) => pass(new PendingCall("exists", [key]), () => backend.exists(key)),
    put: (key, write) =>
      pass(new PendingCall("put", [key], new Map([[key, write]])), () => backend.put(key, write)),
    putMany: (writes) =>
      pass(new PendingCall("putMany", [...writes.keys()], new Map(writes)), (served) =>
        backend.putMany(only(writes, served)),
      ),
    delete: (key, removal) =>
      pass(new PendingCall("delete", [key], new Map([[key, removal]])), () => backend.delete(key, removal)),
    deleteMany: (removals) =>
      pass(new PendingCall("deleteMany", [...removals.keys()], new Map(removals)), (served) =>
        backend.deleteMany(only(removals, served)),
      ),
    scan: (prefix, page) =>
      pass(new PendingCall("scan", [], new Map(), { prefix, ...page }), () => backend.scan(prefix, page)),
    probe: (keys) => pass(new PendingCall("probe", [...keys]), (served) => backend.probe(served)),
    ...(serviceTime === undefined ? {} : { serviceTime: serviceTime.bind(backend) }),
    ...(compareVersions === undefined ? {} : { compareVersions: compareVersions.bind(backend) }),

    calls,
    hold(operation, point = "request") {
      for (const held of operation === undefined ? OPERATIONS : [operation]) holds.set(held, point)
    },
    releaseAll(operation) {
      for (const held of operation === undefined ? OPERATIONS : [operation]) holds.delete(held)
      for (const call of this.held(operation)) call.release()
    },
    script(operation, ...faults) {
      scripts.set(operation, [...(scripts.get(operation) ?? []), ...faults])
    },
    always(operation, fault) {
      if (fault === undefined) standing.delete(operation)
      else standing.set(operation, fault)
    },
    held: (operation) => calls.filter((call) => call.state === "held" && call.isOf(operation)),
    take(operation) {
      const call = this.held(operation)[0]
      if (call === undefined) throw new Error(`no ${operation ?? "call"} is held`)
      return call
    },
    last(operation) {
      const call = calls.findLast((call) => call.isOf(operation))
      if (call === undefined) throw new Error(`no ${operation ?? "call"} was made`)
      return call
    },
    count: (operation) => calls.filter((call) => call.isOf(operation)).length,
  }
}

export interface GatedBackendOptions {
  /** What is behind the gate. @default remoteMemory() */
  backend?: Backend
  /** Laid over the traits of `backend`. @default { inProcess: false } */
  traits?: Partial<BackendTraits>
}

export type GatedOperation = BackendOperation | "probe"

/**
 * `request`: before the backend sees the call. `reply`: after it has served the call, before the caller gets the answer.
 */
type HoldPoint = "request" | "reply"

/** What happens to one call. */
export type Fault =
  | "pass"
  /** It waits, this one call. */
  | { hold: HoldPoint }
  /** It fails and is not applied. */
  | { fail: Error }
  /** It is applied, then fails. */
  | { loseReply: Error }
  /** It fails, and is applied when the test calls {@link GatedCall.land}. */
  | { landLate: Error }
  /** `getMany`, `putMany`, `deleteMany`, `probe`: these keys fail, unapplied unless `applied`; the others are served. */
  | { keys: Readonly<Record<string, KvError>>; applied?: boolean }

/** One call that reached the gate. */
interface GatedCall {
  readonly operation: GatedOperation
  /** Empty for a scan. */
  readonly keys: readonly string[]
  /** What a write carries, by key: its id, value, condition. */
  readonly writes: ReadonlyMap<string, Write | Removal>
  /** Of a scan. */
  readonly page: (ScanRequest & { prefix: string }) | undefined
  readonly state: "held" | "running" | "answered"
  /** Whether the backend behind the gate has been asked. */
  readonly applied: boolean
  /** Lets a held call go on. */
  release(): void
  /** Answers a held call with `error`. Held at its request, it is not applied, unless it is made to {@link land}. */
  fail(error: Error): void
  /** Whether it was answered with an error and can still be applied. */
  readonly mayLand: boolean
  /** Applies, now, a call of which {@link mayLand} is true. */
  land(): Promise<void>
}

export interface GatedBackend extends Backend {
  /** Every call so far, in the order of arrival. */
  readonly calls: readonly GatedCall[]
  /** From now on calls of this operation, or of all, wait at `point`. @default "request" */
  hold(operation?: GatedOperation, point?: HoldPoint): void
  /** Ends {@link hold} and releases the calls that wait. */
  releaseAll(operation?: GatedOperation): void
  /** The faults of the next calls of this operation, one a call. The calls after them have none. */
  script(operation: GatedOperation, ...faults: Fault[]): void
  /** The fault of every call of this operation for which none is scripted; `undefined` ends it. */
  always(operation: GatedOperation, fault: Fault | undefined): void
  /** The calls that wait, oldest first. */
  held(operation?: GatedOperation): GatedCall[]
  /** The oldest call that waits. Throws if none does. */
  take(operation?: GatedOperation): GatedCall
  /** The latest call. Throws if there was none. */
  last(operation?: GatedOperation): GatedCall
  /** How many calls there were. */
  count(operation?: GatedOperation): number
}

const OPERATIONS: readonly GatedOperation[] = [
  "get",
  "getMany",
  "exists",
  "put",
  "putMany",
  "delete",
  "deleteMany",
  "scan",
  "probe",
]

class PendingCall implements GatedCall {
  readonly operation: GatedOperation
  readonly keys: readonly string[]
  readonly writes: ReadonlyMap<string, Write | Removal>
  readonly page: (ScanRequest & { prefix: string }) | undefined
  state: "held" | "running" | "answered" = "running"
  applied = false
  perform: (() => Promise<void>) | undefined
  #go: (() => void) | undefined
  #stop: ((error: Error) => void) | undefined

  constructor(
    operation: GatedOperation,
    keys: readonly string[],
    writes: ReadonlyMap<string, Write | Removal> = new Map(),
    page?: ScanRequest & { prefix: string },
  ) {
    this.operation = operation
    this.keys = keys
    this.writes = writes
    this.page = page
  }

  isOf(operation: GatedOperation | undefined): boolean {
    return operation === undefined || operation === this.operation
  }

  wait(): Promise<void> {
    this.state = "held"
    return new Promise((resolve, reject) => {
      this.#go = resolve
      this.#stop = reject
    })
  }

  release(): void {
    this.#mustBeHeld()
    this.state = "running"
    this.#go?.()
  }

  fail(error: Error): void {
    this.#mustBeHeld()
    this.state = "answered"
    this.#stop?.(error)
  }

  get mayLand(): boolean {
    return this.state === "answered" && !this.applied && this.perform !== undefined
  }

  async land(): Promise<void> {
    if (!this.mayLand)
      throw new Error(`this ${this.operation} was applied or refused for good, or still waits`)
    await this.perform?.()
  }

  #mustBeHeld(): void {
    if (this.state !== "held") throw new Error(`this ${this.operation} is not held: it is ${this.state}`)
  }
}

function only<T>(items: ReadonlyMap<string, T>, keys: readonly string[]): Map<string, T> {
  const chosen = new Set(keys)
  return new Map([...items].filter(([key]) => chosen.has(key)))
}
