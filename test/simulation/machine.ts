import { KEYS } from "./calls.ts"
import { PromiseBroken } from "./history.ts"
import type { Process, World } from "./process.ts"

/** Look-ups in a turn of the event loop in which the clocks move: three rounds of those after which L1 glances at the clock. */
const LOOK_UPS = 24

/** What moves the clocks of a process, and what L1 answers meanwhile. */
export class Machine {
  readonly #world: World
  readonly #process: Process

  constructor(world: World, process: Process) {
    this.#world = world
    this.#process = process
  }

  wait(ms: number): Promise<void> {
    return this.#move(() => this.#world.runtime.advance(ms))
  }

  /** Steps the wall clock, and looks `key` up in each store of the machine until its L1 must have noticed. */
  stepClock(key: string, ms: number): Promise<void> {
    return this.#move(async () => {
      const { clocks } = this.#process
      const stores = this.#world.stores.filter((each) => each.clocks === clocks && each.closing === undefined)
      if (ms < 0) for (const store of stores) this.#keepDeadlines(store)
      clocks.step(ms)
      for (const store of stores) lookUp(store, key, () => {})
    })
  }

  /** Looks `key` up in one turn of the event loop, in which no timer fires, with `ms` between two look-ups. */
  freeze(key: string, ms: number): Promise<void> {
    const { runtime } = this.#world
    return this.#move(async () => {
      lookUp(this.#process, key, () => {
        runtime.freeze(ms)
        this.#world.frozenMs += ms
      })
      await runtime.advance(0)
    })
  }

  /** In a turn of its own, so that no answer that has arrived is still on its way to its caller. */
  #move(move: () => Promise<void>): Promise<void> {
    this.#world.moving = new Promise<void>((resolve) => setImmediate(resolve)).then(move)
    return this.#world.moving
  }

  #keepDeadlines({ client, clocks, deadlines }: Process): void {
    const { history, runtime } = this.#world.table
    deadlines.clear()
    for (const key of KEYS) {
      const text = client.peekText(key)
      if (text === undefined) continue
      const { expiresAt } = history.state(key, history.indexOf(key, text))
      if (expiresAt === undefined) continue
      const until = runtime.monotonic() + expiresAt - clocks.now()
      deadlines.set(key, { text, until, fills: client.stats().l1.fills })
    }
  }
}

function lookUp({ client, seen, lateAllowed }: Process, key: string, before: () => void): void {
  let late = 0
  for (let count = 0; count < LOOK_UPS; count++) {
    before()
    const text = client.peekText(key)
    if (text !== undefined && seen.late(key, text) !== undefined) late++
  }
  if (late > lateAllowed) throw new PromiseBroken(`${late} hits of ${key} in one turn were late`)
}
