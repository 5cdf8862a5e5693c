import type { PutResult } from "../../src/api.ts"
import { versionFrom } from "../../src/operations/tokens.ts"
import { KvError, KvPartialError } from "../../tiers/errors.ts"
import { Asking, aborted, NONE } from "./asking.ts"
import { KEYS, type Step } from "./calls.ts"
import { mustBe, PromiseBroken } from "./history.ts"
import { type Told, type WriteCall, type WriteKind, writing } from "./ledger.ts"
import { showed } from "./reads.ts"

/** The writes and the loads of a process, each checked against the history and the ledger of the table. */
export class Writes extends Asking {
  readonly #ledger = this.world.table.ledger

  async write(
    kind: WriteKind,
    key: string,
    abort: boolean,
    ask: (text: string, signal: { signal?: AbortSignal }) => Promise<PutResult>,
  ): Promise<boolean> {
    const text = this.world.texts()
    const call = this.#ledger.begin(kind, key, text)
    let version: string | undefined
    await this.settled(
      [call],
      (signal) =>
        ask(text, signal).then((result) => {
          version = result.version
          call.mayLandLate = result.mayLandLate ?? false
          return result.applied
        }),
      abort,
    )
    if (version === undefined) return call.told === "applied"
    showed(this.world, key, version)
    const found = versionFrom(version, key, "race")
    const isOwn = call.effects.some((index) => this.history.state(key, index).version === found)
    mustBe(`whether ${key}=${text} had the version that its writer was told`, isOwn, true)
    return true
  }

  async swap(key: string, abort: boolean, ifVersion: string | undefined): Promise<void> {
    if (ifVersion === undefined) return
    const swapping = (text: string, signal: { signal?: AbortSignal }) =>
      this.client.put(key, text, { ...signal, ifVersion })
    if (await this.write("swap", key, abort, swapping))
      this.#ledger.swapped(key, versionFrom(ifVersion, key, "race"))
  }

  async deleteIf(key: string, ifVersion: string | undefined): Promise<void> {
    if (ifVersion === undefined) return
    const call = this.#ledger.begin("deleteIf", key)
    await this.settled([call], () => this.client.delete(key, { ifVersion }))
    if (call.told === "applied") this.#ledger.swapped(key, versionFrom(ifVersion, key, "race"))
  }

  async setMany(ttl: { ttlMs?: number }): Promise<void> {
    const entries = KEYS.map((key) => [key, this.world.texts()] as const)
    const calls = entries.map(([key, text]) => this.#ledger.begin("put", key, text))
    await this.settled(calls, () => this.client.setMany(entries, ttl))
  }

  async getOrSet(
    { key, ttlMs, abort, loader }: Step,
    how: { consistency?: "strong"; refreshAheadMs?: number },
  ): Promise<void> {
    const { loads, ended, loading } = this.process
    const cached = this.expect(key, false)
    const strong = this.expect(key, true)
    const endedBefore = ended.get(key) ?? 0
    const load = async () => {
      const text = this.world.texts()
      loads.set(text, ended.get(key) ?? 0)
      const running = (loading.get(key) ?? 0) + 1
      loading.set(key, running)
      if (running > 1 && this.world.onlyLoads)
        this.#ledger.breaks(undefined, `${running} loaders of ${key} run at once`)
      await this.world.pause("load")
      loading.set(key, (loading.get(key) ?? 0) - 1)
      if (loader === "fail") throw loaderFailed
      if (loader === "nothing") return undefined
      this.#ledger.begin("load", key, text)
      return text
    }
    const options = { as: "text" as const, ...(ttlMs === undefined ? {} : { ttlMs }), ...how }
    const text = await this.maybeAborted(abort, (signal) =>
      this.answer(
        this.client.getOrSet(key, load, { ...options, ...signal }).catch((error: unknown) => {
          if (error === loaderFailed) return NONE
          throw error
        }),
        false,
      ),
    )
    if (typeof text !== "string") return
    const since = loads.get(text)
    if (since === undefined) {
      const expected = how.consistency === "strong" ? strong : cached
      // The answer of a call that is to be aborted is looked at after the abort.
      return this.seen.returned({ ...expected, waits: abort }, text)
    }
    const isStored = this.history.of(key).some((state) => state.text === text)
    // The callers of the load get the loaded text, whatever happened while it was stored.
    if (isStored) this.seen.returned({ ...cached, loaded: true }, text)
    else if (since < endedBefore)
      throw new PromiseBroken(`${key}=${text} was loaded before a write that came before the call`)
  }

  /** Runs a write to its end. Only the faults of the link may make it fail. Later reads see the write, or what came after it. */
  async settled(
    calls: readonly WriteCall[],
    ask: (signal: { signal?: AbortSignal }) => Promise<unknown>,
    abort = false,
  ): Promise<void> {
    const byKey = new Map(calls.map((call) => [call.key, call]))
    let failed: ReadonlyMap<string, KvError> | KvError | undefined
    // Not for a write whose caller gave up, which is still under way: a load is stored on a condition, and so before it or not at all.
    const ended = () => {
      for (const { key } of calls) {
        this.endedOne(key)
        this.seen.raise(key)
      }
    }
    const outcome = await this.maybeAborted(abort, (signal) =>
      this.inTime(
        writing
          .run(byKey, () => ask(signal))
          .catch((error: unknown) => {
            if (!this.isFault(error)) throw error
            failed = error instanceof KvPartialError ? error.failed : error
            return undefined
          })
          .then((answer) => {
            ended()
            return answer
          }),
      ),
    )
    for (const call of calls) {
      const error = failed instanceof KvError ? failed : failed?.get(call.key)
      this.#ledger.ended(call, outcome === aborted ? "unknown" : toldBy(error, outcome))
    }
  }

  endedOne(key: string): void {
    this.process.ended.set(key, (this.process.ended.get(key) ?? 0) + 1)
  }
}

function toldBy(error: KvError | undefined, outcome: unknown): Told {
  if (error !== undefined) return error.code === "OUTCOME_UNKNOWN" ? "unknown" : "failed"
  return outcome === false ? "refused" : "applied"
}

const loaderFailed = new Error("the origin is down")
