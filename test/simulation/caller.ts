import type { Entry, Kv } from "../../src/api.ts"
import { versionFrom } from "../../src/operations/tokens.ts"
import { KvError, type KvErrorCode, KvPartialError } from "../../tiers/errors.ts"
import type { TestRuntime } from "../support/runtime.ts"
import { KEYS, type Step } from "./calls.ts"
import { type Expectation, type History, mustBe, PromiseBroken, type Seen } from "./history.ts"
import { type Ledger, type Told, type WriteCall, type WriteKind, writing } from "./ledger.ts"
import type { Link } from "./link.ts"
import type { Table } from "./table.ts"

/** What the processes of one race share. */
export interface World {
  readonly table: Table
  readonly runtime: TestRuntime
  readonly pause: (label: string) => Promise<unknown>
  /** A text that was never given before. */
  readonly texts: () => string
  /** The versions of a key that a caller was shown. */
  readonly tokens: Map<string, string[]>
  /** Longest time of a call that is one call of the backend, ms; `undefined`: it has none. */
  readonly timeoutMs: number | undefined
  readonly quarantineMs: number
  /** Whether nothing but loads writes, in one process: then one loader of a key runs at a time. */
  readonly onlyLoads: boolean
  /** Time that is being moved. */
  moving: Promise<void>
}

/** One process: a client with an L1 of its own. */
export interface Process {
  readonly client: Kv
  readonly link: Link
  readonly seen: Seen
  /** How many writes and invalidations of the key had ended when a load of this text began. */
  readonly loads: Map<string, number>
  readonly ended: Map<string, number>
  readonly loading: Map<string, number>
  closing: Promise<void> | undefined
}

/** The calls of a thread, each checked against the history of the table. */
export class Caller {
  readonly #world: World
  readonly #process: Process
  readonly #client: Kv
  readonly #seen: Seen
  readonly #history: History
  readonly #ledger: Ledger

  constructor(world: World, process: Process) {
    this.#world = world
    this.#process = process
    this.#client = process.client
    this.#seen = process.seen
    this.#history = world.table.history
    this.#ledger = world.table.ledger
  }

  async run(step: Step): Promise<unknown> {
    const client = this.#client
    const { key, abort } = step
    const ttl = step.ttlMs === undefined ? {} : { ttlMs: step.ttlMs }
    if (this.#process.closing !== undefined) return this.#refused(key)
    switch (step.call) {
      case "get":
        return this.#read(this.#expect(key, false), client.getText(key))
      case "getStrong":
        return this.#read(this.#expect(key, true), client.getText(key, STRONG))
      case "getMany":
        return this.#readMany(false, client.getManyText(KEYS))
      case "getManyFill":
        return this.#readMany(false, client.getManyText(KEYS, { fill: true }))
      case "getManyStrong":
        return this.#readMany(true, client.getManyText(KEYS, STRONG))
      case "exists":
        return this.#exists(this.#expect(key, false), client.exists(key))
      case "existsStrong":
        return this.#exists(this.#expect(key, true), client.exists(key, STRONG))
      case "getOrSet":
        return this.#getOrSet(step, {})
      case "getOrSetStrong":
        return this.#getOrSet(step, STRONG)
      case "getOrSetAhead":
        return this.#getOrSet({ ...step, ttlMs: 40 }, { refreshAheadMs: 39 })
      case "set":
        return this.#write("put", key, abort, (text, signal) => client.put(key, text, { ...signal, ...ttl }))
      case "create":
        return this.#write("create", key, abort, (text, signal) =>
          client.put(key, text, { ...signal, ...ttl, ifNotExists: true }),
        )
      case "swap":
        return this.#swap(key, abort, (await this.#entry(key))?.version)
      case "swapStale":
        return this.#swap(key, abort, this.#world.tokens.get(key)?.at(-1 - step.token))
      case "delete":
        return this.#settled([this.#ledger.begin("delete", key)], () => client.delete(key))
      case "deleteIf":
        return this.#deleteIf(key, (await this.#entry(key))?.version)
      case "deleteStale":
        return this.#deleteIf(key, this.#world.tokens.get(key)?.at(-1 - step.token))
      case "setMany":
        return this.#setMany(ttl)
      case "deleteMany":
        return this.#settled(
          KEYS.map((key) => this.#ledger.begin("delete", key)),
          () => client.deleteMany(KEYS),
        )
      case "invalidate":
        client.invalidate(key)
        this.#endedOne(key)
        return this.#seen.raise(key)
      case "invalidateAll":
        client.invalidate()
        for (const key of KEYS) this.#endedOne(key)
        return this.#seen.raiseAll()
      case "scan":
      case "scanFill":
        return this.#scan(step.call === "scanFill")
      case "abortedGet":
        return this.#abortedGet()
      case "writeElsewhere":
        return this.#world.table.writeElsewhere(key, this.#world.texts(), step.ttlMs)
      case "deleteElsewhere":
        return this.#world.table.deleteElsewhere(key)
      case "wait":
        return this.#moveTime(() => this.#world.runtime.advance(step.waitMs))
      case "stepClock":
        return this.#moveTime(async () => this.#world.runtime.stepWallClock(step.waitMs))
      case "close":
        this.#process.closing = client.close()
        return undefined
    }
  }

  /** In a turn of its own, so that no answer that has arrived is still on its way to its caller. */
  #moveTime(move: () => Promise<void>): Promise<void> {
    this.#world.moving = new Promise<void>((resolve) => setImmediate(resolve)).then(move)
    return this.#world.moving
  }

  async #refused(key: string): Promise<void> {
    const answer = await this.#client.getText(key).catch((error: unknown) => error)
    mustBe("a call after close", answer instanceof KvError && answer.code, "CLOSED")
  }

  async #read(expected: Expectation, asking: Promise<string | undefined>): Promise<void> {
    const text = await this.#answer(asking)
    if (text !== NONE) this.#seen.returned(expected, text)
  }

  async #entry(key: string): Promise<Entry | undefined> {
    const expected = this.#expect(key, false)
    const entry = await this.#answer(this.#client.getEntry(key))
    if (entry === NONE) return undefined
    const text = entry && Buffer.from(entry.value).toString()
    this.#seen.returned(expected, text)
    if (entry === undefined || text === undefined) return undefined
    const { version, expiresAt } = this.#history.state(key, this.#history.indexOf(key, text))
    mustBe(`the version of ${key}=${text}`, versionFrom(entry.version, key, "race"), version)
    mustBe(`the expiry of ${key}=${text}`, entry.expiresAt, expiresAt)
    this.#showed(key, entry.version)
    await this.#world.pause("use a version")
    return this.#process.closing === undefined ? entry : undefined
  }

  #showed(key: string, version: string): void {
    const tokens = this.#world.tokens.get(key) ?? []
    tokens.push(version)
    this.#world.tokens.set(key, tokens)
  }

  async #readMany(strong: boolean, asking: Promise<Map<string, string>>): Promise<void> {
    const expected = KEYS.map((key) => ({ ...this.#expect(key, strong), waits: true }))
    const found = await this.#answer(asking)
    if (found === NONE) return
    for (const expectation of expected) this.#seen.returned(expectation, found.get(expectation.key))
  }

  async #exists(expected: Expectation, asking: Promise<boolean>): Promise<void> {
    const there = await this.#answer(asking)
    if (there !== NONE) this.#seen.existed(expected, there)
  }

  /** All pages, of one entry each: what is there throughout comes once. */
  async #scan(fill: boolean): Promise<void> {
    const before = KEYS.map((key) => [key, this.#history.current(key)] as const)
    const shown: string[] = []
    const scanning = this.#client.scan("", { fill, limit: 1 })
    for (;;) {
      const expected = new Map(
        KEYS.map((key) => [key as string, { ...this.#expect(key, true), waits: true }]),
      )
      const next = await this.#answer(scanning.next(), false)
      if (next === NONE) return
      if (next.value === undefined) break
      const { key, value } = next.value
      const expectation = expected.get(key)
      if (expectation === undefined || shown.includes(key)) throw new PromiseBroken(`a scan showed ${key}`)
      this.#seen.returned(expectation, Buffer.from(value).toString())
      shown.push(key)
    }
    for (const [key, index] of before) {
      const isSame = this.#history.current(key) === index
      const isLive = this.#history.isLive(this.#history.state(key, index))
      if (isSame && isLive && !shown.includes(key))
        throw new PromiseBroken(`a scan left out ${key}, there throughout`)
    }
  }

  async #abortedGet(): Promise<void> {
    const controller = new AbortController()
    const reading = this.#client.getText("a", { signal: controller.signal }).catch((error: unknown) => error)
    await this.#world.pause("abort a get")
    controller.abort(aborted)
    await reading
  }

  async #write(
    kind: WriteKind,
    key: string,
    abort: boolean,
    ask: (text: string, signal: { signal?: AbortSignal }) => Promise<{ applied: boolean; version?: string }>,
  ): Promise<boolean> {
    const text = this.#world.texts()
    const call = this.#ledger.begin(kind, key, text)
    let version: string | undefined
    await this.#settled(
      [call],
      (signal) =>
        ask(text, signal).then((result) => {
          version = result.version
          return result.applied
        }),
      abort,
    )
    if (version === undefined) return call.told === "applied"
    this.#showed(key, version)
    const found = versionFrom(version, key, "race")
    const isOwn = call.effects.some((index) => this.#history.state(key, index).version === found)
    mustBe(`whether ${key}=${text} had the version that its writer was told`, isOwn, true)
    return true
  }

  async #swap(key: string, abort: boolean, ifVersion: string | undefined): Promise<void> {
    if (ifVersion === undefined) return
    const swapping = (text: string, signal: { signal?: AbortSignal }) =>
      this.#client.put(key, text, { ...signal, ifVersion })
    if (await this.#write("swap", key, abort, swapping))
      this.#ledger.swapped(key, versionFrom(ifVersion, key, "race"))
  }

  async #deleteIf(key: string, ifVersion: string | undefined): Promise<void> {
    if (ifVersion === undefined) return
    const call = this.#ledger.begin("deleteIf", key)
    await this.#settled([call], () => this.#client.delete(key, { ifVersion }))
    if (call.told === "applied") this.#ledger.swapped(key, versionFrom(ifVersion, key, "race"))
  }

  async #setMany(ttl: { ttlMs?: number }): Promise<void> {
    const entries = KEYS.map((key) => [key, this.#world.texts()] as const)
    const calls = entries.map(([key, text]) => this.#ledger.begin("put", key, text))
    await this.#settled(calls, () => this.#client.setMany(entries, ttl))
  }

  async #getOrSet(
    { key, ttlMs, abort, loader }: Step,
    how: { consistency?: "strong"; refreshAheadMs?: number },
  ): Promise<void> {
    const { loads, ended, loading } = this.#process
    const cached = this.#expect(key, false)
    const strong = this.#expect(key, true)
    const endedBefore = ended.get(key) ?? 0
    const load = async () => {
      const text = this.#world.texts()
      loads.set(text, ended.get(key) ?? 0)
      const running = (loading.get(key) ?? 0) + 1
      loading.set(key, running)
      if (running > 1 && this.#world.onlyLoads)
        this.#ledger.breaks(undefined, `${running} loaders of ${key} run at once`)
      await this.#world.pause("load")
      loading.set(key, (loading.get(key) ?? 0) - 1)
      if (loader === "fail") throw loaderFailed
      if (loader === "nothing") return undefined
      this.#ledger.begin("load", key, text)
      return text
    }
    const options = { as: "text" as const, ...(ttlMs === undefined ? {} : { ttlMs }), ...how }
    const text = await this.#maybeAborted(abort, (signal) =>
      this.#answer(
        this.#client.getOrSet(key, load, { ...options, ...signal }).catch((error: unknown) => {
          if (error === loaderFailed) return NONE
          throw error
        }),
        false,
      ),
    )
    if (typeof text !== "string") return
    const since = loads.get(text)
    if (since === undefined) return this.#seen.returned(how.consistency === "strong" ? strong : cached, text)
    const isStored = this.#history.of(key).some((state) => state.text === text)
    // The callers of the load get the loaded text, whatever happened while it was stored.
    if (isStored) this.#seen.returned({ ...cached, loaded: true }, text)
    else if (since < endedBefore)
      throw new PromiseBroken(`${key}=${text} was loaded before a write that came before the call`)
  }

  /** Runs a write to its end. Only the faults of the link may make it fail. Later reads see the write, or what came after it. */
  async #settled(
    calls: readonly WriteCall[],
    ask: (signal: { signal?: AbortSignal }) => Promise<unknown>,
    abort = false,
  ): Promise<void> {
    const byKey = new Map(calls.map((call) => [call.key, call]))
    let failed: ReadonlyMap<string, KvError> | KvError | undefined
    const outcome = await this.#maybeAborted(abort, (signal) =>
      this.#inTime(
        writing
          .run(byKey, () => ask(signal))
          .catch((error: unknown) => {
            if (!this.#isFault(error)) throw error
            failed = error instanceof KvPartialError ? error.failed : error
            return undefined
          }),
      ),
    )
    for (const call of calls) {
      this.#endedOne(call.key)
      const error = failed instanceof KvError ? failed : failed?.get(call.key)
      this.#ledger.ended(call, outcome === aborted ? "unknown" : toldBy(error, outcome))
      if (outcome !== aborted) this.#seen.raise(call.key)
    }
  }

  #endedOne(key: string): void {
    this.#process.ended.set(key, (this.#process.ended.get(key) ?? 0) + 1)
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
    await this.#world.pause("abort")
    controller.abort(aborted)
    return asking
  }

  /** The answer of a read. A read that a fault of the link makes fail is neither an answer nor a miss. */
  async #answer<T>(asking: Promise<T>, inTime = true): Promise<T | typeof NONE> {
    try {
      return await (inTime ? this.#inTime(asking) : asking)
    } catch (error) {
      if (this.#isFault(error)) return NONE
      throw error
    }
  }

  async #inTime<T>(asking: Promise<T>): Promise<T> {
    const { runtime, timeoutMs = Number.POSITIVE_INFINITY } = this.#world
    const startedAt = runtime.monotonic()
    await asking.catch(() => {})
    const tookMs = runtime.monotonic() - startedAt
    if (tookMs > timeoutMs) throw new PromiseBroken(`a call took ${tookMs} ms of its ${timeoutMs} ms`)
    return asking
  }

  #isFault(error: unknown): error is KvError {
    if (!(error instanceof KvError)) return false
    return FAULTS.includes(error.code) || (error.code === "CLOSED" && this.#process.closing !== undefined)
  }

  #expect(key: string, strong: boolean): Expectation {
    if (strong) return this.#seen.expectStrong(key)
    const { link } = this.#process
    return this.#seen.expectCached(key, link.isFenced(key) ? link.readingSince(key) : undefined)
  }
}

function toldBy(error: KvError | undefined, outcome: unknown): Told {
  if (error !== undefined) return error.code === "OUTCOME_UNKNOWN" ? "unknown" : "failed"
  return outcome === false ? "refused" : "applied"
}

const STRONG = { consistency: "strong" } as const
const NONE = Symbol("no answer")
const aborted = new Error("the caller is gone")
const loaderFailed = new Error("the origin is down")

/** The error codes that the faults of a link lead to. */
const FAULTS: readonly KvErrorCode[] = [
  "UNAVAILABLE",
  "OUTCOME_UNKNOWN",
  "PARTIAL_FAILURE",
  "THROTTLED",
  "TIMEOUT",
]
