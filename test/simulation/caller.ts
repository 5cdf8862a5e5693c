import type { Kv } from "../../src/api.ts"
import { KvError } from "../../tiers/errors.ts"
import { STRONG } from "./asking.ts"
import { KEYS, type Step } from "./calls.ts"
import { mustBe, type Seen } from "./history.ts"
import type { Ledger } from "./ledger.ts"
import { Machine } from "./machine.ts"
import type { Process, World } from "./process.ts"
import { Reads } from "./reads.ts"
import { Writes } from "./writes.ts"

/** The calls of a thread, each checked against the history of the table. */
export class Caller {
  readonly #world: World
  readonly #process: Process
  readonly #client: Kv
  readonly #seen: Seen
  readonly #ledger: Ledger
  readonly #reads: Reads
  readonly #writes: Writes
  readonly #machine: Machine

  constructor(world: World, process: Process) {
    this.#world = world
    this.#process = process
    this.#client = process.client
    this.#seen = process.seen
    this.#ledger = world.table.ledger
    this.#reads = new Reads(world, process)
    this.#writes = new Writes(world, process)
    this.#machine = new Machine(world, process)
  }

  async run(step: Step): Promise<unknown> {
    const client = this.#client
    const { key, abort, ttlMs } = step
    const ttl = ttlMs === undefined ? {} : { ttlMs }
    if (this.#process.closing !== undefined) return this.#refused(key)
    switch (step.call) {
      case "get":
        return this.#reads.read(this.#reads.expect(key, false), client.getText(key))
      case "getStrong":
        return this.#reads.read(this.#reads.expect(key, true), client.getText(key, STRONG))
      case "getMany":
        return this.#reads.readMany(false, client.getManyText(KEYS))
      case "getManyFill":
        return this.#reads.readMany(false, client.getManyText(KEYS, { fill: true }))
      case "getManyStrong":
        return this.#reads.readMany(true, client.getManyText(KEYS, STRONG))
      case "exists":
        return this.#reads.exists(this.#reads.expect(key, false), client.exists(key))
      case "existsStrong":
        return this.#reads.exists(this.#reads.expect(key, true), client.exists(key, STRONG))
      case "getOrSet":
        return this.#writes.getOrSet(step, {})
      case "getOrSetStrong":
        return this.#writes.getOrSet(step, STRONG)
      case "getOrSetAhead":
        return this.#writes.getOrSet({ ...step, ttlMs: 40 }, { refreshAheadMs: 39 })
      case "set":
        return this.#writes.write("put", key, abort, (text, signal) =>
          client.put(key, text, { ...signal, ...ttl }),
        )
      case "create":
        return this.#writes.write("create", key, abort, (text, signal) =>
          client.put(key, text, { ...signal, ...ttl, ifNotExists: true }),
        )
      case "swap":
        return this.#writes.swap(key, abort, (await this.#reads.entry(key))?.version)
      case "swapStale":
        return this.#writes.swap(key, abort, this.#world.tokens.get(key)?.at(-1 - step.token))
      case "delete":
        return this.#writes.settled([this.#ledger.begin("delete", key)], () => client.delete(key))
      case "deleteIf":
        return this.#writes.deleteIf(key, (await this.#reads.entry(key))?.version)
      case "deleteStale":
        return this.#writes.deleteIf(key, this.#world.tokens.get(key)?.at(-1 - step.token))
      case "setMany":
        return this.#writes.setMany(ttl)
      case "deleteMany":
        return this.#writes.settled(
          KEYS.map((key) => this.#ledger.begin("delete", key)),
          () => client.deleteMany(KEYS),
        )
      case "invalidate":
        client.invalidate(key)
        this.#writes.endedOne(key)
        return this.#seen.raise(key)
      case "invalidateAll":
        client.invalidate()
        for (const key of KEYS) this.#writes.endedOne(key)
        return this.#seen.raiseAll()
      case "scan":
      case "scanFill":
        return this.#reads.scan(step.call === "scanFill")
      case "abortedGet":
        return this.#reads.abortedGet()
      case "writeElsewhere":
        return this.#world.table.writeElsewhere(key, this.#world.texts(), step.ttlMs)
      case "deleteElsewhere":
        return this.#world.table.deleteElsewhere(key)
      case "wait":
        return this.#machine.wait(step.waitMs)
      case "stepClock":
        return this.#machine.stepClock(key, step.back ? -step.waitMs : step.waitMs)
      case "freeze":
        return this.#machine.freeze(key, 4 * step.waitMs)
      case "restart":
        return this.#world.table.restart()
      case "close":
        this.#process.closing = client.close()
        return undefined
    }
  }

  async #refused(key: string): Promise<void> {
    const answer = await this.#client.getText(key).catch((error: unknown) => error)
    mustBe("a call after close", answer instanceof KvError && answer.code, "CLOSED")
  }
}
