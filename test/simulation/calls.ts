import fc from "fast-check"
import type { Kv } from "../../src/api.ts"
import { KvError, type KvErrorCode } from "../../tiers/errors.ts"
import type { TestRuntime } from "../support/runtime.ts"
import { mustBe, PromiseBroken } from "./history.ts"
import type { RacingTable } from "./table.ts"

export const KEYS = ["a", "b"] as const

/** One call of one of the racing threads. */
export interface Step {
  call: StepCall
  key: string
  ttlMs: number | undefined
  /** Whether the caller gives up at some point. */
  abort: boolean
  /** How long it waits, if that is the call. */
  waitMs: number
}

const CALLS = [
  "get",
  "getStrong",
  "getMany",
  "getManyFill",
  "exists",
  "existsStrong",
  "set",
  "create",
  "swap",
  "delete",
  "deleteIf",
  "setMany",
  "deleteMany",
  "getOrSet",
  "scan",
  "scanFill",
  "abortedGet",
  "invalidate",
  "invalidateAll",
  "writeElsewhere",
  "deleteElsewhere",
  "wait",
] as const
export type StepCall = (typeof CALLS)[number]

/** Threads of steps of these kinds of call, on these keys. */
export function threadsOf(calls: readonly StepCall[], keys: readonly string[]): fc.Arbitrary<Step[][]> {
  const step: fc.Arbitrary<Step> = fc.record({
    call: fc.constantFrom(...calls),
    key: fc.constantFrom(...keys),
    ttlMs: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined, freq: 2 }),
    abort: fc.nat(3).map((chance) => chance === 0),
    waitMs: fc.constantFrom(1, 10, 30, 50),
  })
  const many = { minLength: 1, size: "max" } as const
  return fc.array(fc.array(step, { ...many, maxLength: 5 }), { ...many, maxLength: 4 })
}

/**
 * Threads of a few kinds of call, which differ from race to race: a failure takes certain two or three kinds of call, and
 * among calls of every kind these rarely meet.
 */
export const threads: fc.Arbitrary<Step[][]> = fc
  .subarray([...CALLS], { minLength: 1, maxLength: 4 })
  .chain((calls) => threadsOf(["get", ...calls], ["a", "a", "a", "b"]))

const aborted = new Error("the caller is gone")

/** The calls of a thread, each checked against the history of the table. */
export class Caller {
  readonly #world: World
  readonly #client: Kv
  readonly #table: RacingTable
  readonly #runtime: TestRuntime
  readonly #pause: (label: string) => Promise<unknown>
  readonly #texts: () => string
  readonly #loads: Map<string, number>
  /** Own writes of a key that were acknowledged, counted over all threads. */
  readonly #acknowledged: Map<string, number>

  constructor(world: World) {
    this.#world = world
    this.#client = world.client
    this.#table = world.table
    this.#runtime = world.runtime
    this.#pause = world.pause
    this.#texts = world.texts
    this.#loads = world.loads
    this.#acknowledged = world.acknowledged
  }

  async run(step: Step): Promise<void> {
    const client = this.#client
    switch (step.call) {
      case "get":
        return this.#read(step.key, false, () => client.getText(step.key))
      case "getStrong":
        return this.#read(step.key, true, () => client.getText(step.key, { consistency: "strong" }))
      case "getMany":
      case "getManyFill":
        return this.#readMany({ fill: step.call === "getManyFill" })
      case "exists":
      case "existsStrong":
        return this.#exists(step.key, step.call === "existsStrong")
      case "set":
        return this.#write(step.key, step.abort, (text, signal) =>
          client.set(step.key, text, {
            ...signal,
            ...(step.ttlMs === undefined ? {} : { ttlMs: step.ttlMs }),
          }),
        )
      case "create":
        return this.#write(step.key, step.abort, (text, signal) =>
          client.set(step.key, text, {
            ...signal,
            ifNotExists: true,
            ...(step.ttlMs === undefined ? {} : { ttlMs: step.ttlMs }),
          }),
        )
      case "swap":
        return this.#swap(step.key, step.abort)
      case "getOrSet":
        return this.#getOrSet(step.key, step.ttlMs, step.abort)
      case "delete":
        return this.#delete([step.key], () => client.delete(step.key))
      case "deleteIf":
        return this.#deleteIf(step.key)
      case "setMany":
        return this.#setMany(step.ttlMs)
      case "deleteMany":
        return this.#delete(KEYS, () => client.deleteMany(KEYS))
      case "invalidate":
        client.invalidate(step.key)
        return this.#table.history.raise(step.key)
      case "invalidateAll":
        client.invalidate()
        return this.#table.history.raiseAll()
      case "scan":
      case "scanFill":
        return this.#scan(step.call === "scanFill")
      case "abortedGet":
        return this.#abortedGet()
      case "writeElsewhere":
        return this.#table.writeElsewhere(step.key, this.#texts(), step.ttlMs)
      case "deleteElsewhere":
        return this.#table.deleteElsewhere(step.key)
      case "wait":
        this.#world.moving = this.#runtime.advance(step.waitMs)
        return this.#world.moving
    }
  }

  async #read(key: string, strong: boolean, ask: () => Promise<string | undefined>): Promise<void> {
    const expected = this.#expect(key, strong)
    const text = await orUnavailable(ask())
    if (text !== UNAVAILABLE) this.#table.history.returned(expected, text)
  }

  async #readMany(options: { fill: boolean }): Promise<void> {
    const expected = KEYS.map((key) => this.#expect(key, false))
    const found = await orUnavailable(this.#client.getManyText(KEYS, options))
    if (found === UNAVAILABLE) return
    for (const expectation of expected) this.#table.history.returned(expectation, found.get(expectation.key))
  }

  async #exists(key: string, strong: boolean): Promise<void> {
    const expected = this.#expect(key, strong)
    const there = await orUnavailable(this.#client.exists(key, strong ? { consistency: "strong" } : {}))
    if (there === false) this.#table.history.returned(expected, undefined)
  }

  async #scan(fill: boolean): Promise<void> {
    const expected = new Map(KEYS.map((key) => [key as string, this.#expect(key, true)]))
    const page = await orUnavailable(this.#client.scan("", { fill, limit: 10 }).next())
    if (page === UNAVAILABLE || page.value === undefined) return
    const expectation = expected.get(page.value.key)
    if (expectation === undefined) throw new PromiseBroken(`a scan showed ${page.value.key}`)
    this.#table.history.returned(expectation, Buffer.from(page.value.value).toString())
  }

  async #abortedGet(): Promise<void> {
    const controller = new AbortController()
    const reading = this.#client.getText("a", { signal: controller.signal }).catch((error: unknown) => error)
    await this.#pause("abort a get")
    controller.abort(aborted)
    await reading
  }

  /** Writes a new text, and checks that the answer agrees with what the table did. */
  async #write(
    key: string,
    abort: boolean,
    ask: (text: string, signal: { signal?: AbortSignal }) => Promise<boolean>,
  ): Promise<void> {
    const text = this.#texts()
    const outcome = await this.#maybeAborted(abort, (signal) => this.#settled([key], () => ask(text, signal)))
    const applied = this.#table.history.knows(key, text)
    if (outcome === true || outcome === false)
      mustBe(`a write of ${key} said it was applied`, outcome, applied)
    if (outcome === true) this.#table.history.raise(key, this.#table.history.indexOf(key, text))
  }

  async #swap(key: string, abort: boolean): Promise<void> {
    const entry = await orUnavailable(this.#client.getEntry(key))
    if (entry === UNAVAILABLE || entry === undefined) return
    const ifVersion = entry.version
    const seen = this.#table.history.indexOf(key, Buffer.from(entry.value).toString())
    await this.#pause("swap")
    const text = this.#texts()
    const swapping = (signal: { signal?: AbortSignal }) =>
      this.#client.set(key, text, { ...signal, ifVersion })
    const outcome = await this.#maybeAborted(abort, (signal) => this.#settled([key], () => swapping(signal)))
    const { history } = this.#table
    if (outcome !== true) return
    const applied = history.indexOf(key, text)
    mustBe(`what a compare-and-set of ${key} replaced`, applied - 1, seen)
    history.raise(key, applied)
  }

  async #deleteIf(key: string): Promise<void> {
    const entry = await orUnavailable(this.#client.getEntry(key))
    if (entry === UNAVAILABLE || entry === undefined) return
    await this.#delete([key], () => this.#client.delete(key, { ifVersion: entry.version }))
  }

  async #setMany(ttlMs: number | undefined): Promise<void> {
    const entries = KEYS.map((key) => [key, this.#texts()] as const)
    const options = ttlMs === undefined ? {} : { ttlMs }
    const outcome = await this.#settled(KEYS, async () => {
      await this.#client.setMany(entries, options)
      return true
    })
    if (outcome === undefined) return
    for (const [key, text] of entries) this.#table.history.raise(key, this.#table.history.indexOf(key, text))
  }

  /** Deletes; if it was applied, later reads see the first deletion since, or what came after it. */
  async #delete(keys: readonly string[], ask: () => Promise<unknown>): Promise<void> {
    const { history } = this.#table
    const before = new Map(keys.map((key) => [key, history.current(key)]))
    const outcome = await this.#settled(keys, async () => (await ask()) !== false)
    if (outcome !== true) return
    for (const [key, index] of before) history.raise(key, history.deletedAfter(key, index))
  }

  async #getOrSet(key: string, ttlMs: number | undefined, abort: boolean): Promise<void> {
    const expected = this.#expect(key, false)
    const acknowledged = this.#acknowledged.get(key) ?? 0
    const load = async () => {
      const text = this.#texts()
      this.#loads.set(text, this.#acknowledged.get(key) ?? 0)
      await this.#pause("load")
      return text
    }
    const options = { as: "text" as const, ...(ttlMs === undefined ? {} : { ttlMs }) }
    const text = await this.#maybeAborted(abort, (signal) =>
      orUnavailable(this.#client.getOrSet(key, load, { ...options, ...signal })),
    )
    if (text === UNAVAILABLE || text === aborted || text === undefined || typeof text !== "string") return
    const since = this.#loads.get(text)
    if (since === undefined) return this.#table.history.returned(expected, text)
    // The callers of the load get the loaded text, whatever happened while it was stored.
    if (since < acknowledged && !this.#table.history.knows(key, text)) {
      throw new PromiseBroken(`${key}=${text} was loaded before a write that came before the call`)
    }
    if (this.#table.history.knows(key, text))
      this.#table.history.returned({ ...expected, loaded: true }, text)
  }

  /** Runs a write to its end. Only the faults of the table may make it fail. */
  async #settled<T>(keys: readonly string[], ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const outcome = await ask()
      for (const key of keys) this.#acknowledged.set(key, (this.#acknowledged.get(key) ?? 0) + 1)
      return outcome
    } catch (error) {
      if (error instanceof KvError && FAULTS.includes(error.code)) return undefined
      throw error
    }
  }

  async #maybeAborted<T>(
    abort: boolean,
    ask: (signal: { signal?: AbortSignal }) => Promise<T>,
  ): Promise<T | Error> {
    if (!abort) return ask({})
    const controller = new AbortController()
    const asking = ask({ signal: controller.signal }).catch((error: unknown) => {
      if (error === aborted) return aborted
      throw error
    })
    await this.#pause("abort")
    controller.abort(aborted)
    return asking
  }

  #expect(key: string, strong: boolean) {
    return this.#table.expect(key, strong)
  }
}

/** What the threads of one race share. */
export interface World {
  readonly client: Kv
  readonly table: RacingTable
  readonly runtime: TestRuntime
  readonly pause: (label: string) => Promise<unknown>
  /** A text that was never given before. */
  readonly texts: () => string
  /** How many writes of the key were acknowledged when a load of this text began. */
  readonly loads: Map<string, number>
  readonly acknowledged: Map<string, number>
  /** Time that is being moved. */
  moving: Promise<void>
  /** A broken promise that was found where nothing awaits the answer. */
  broken: PromiseBroken | undefined
}

const UNAVAILABLE = Symbol("unavailable")

/** The error codes that the faults of the table lead to. */
const FAULTS: readonly KvErrorCode[] = ["UNAVAILABLE", "OUTCOME_UNKNOWN", "PARTIAL_FAILURE"]

/** A read that a fault of the table makes fail is neither an answer nor a miss. */
async function orUnavailable<T>(answer: Promise<T>): Promise<T | typeof UNAVAILABLE> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof KvError && FAULTS.includes(error.code)) return UNAVAILABLE
    throw error
  }
}
