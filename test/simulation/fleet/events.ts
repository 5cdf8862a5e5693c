/** Uniform in [0, 1). */
export type Random = () => number

/** mulberry32: the same numbers for the same seed. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Event {
  readonly at: number
  readonly order: number
  run: (() => void) | undefined
}

/** The events of a simulation, in the order of their time: a binary heap. Those of one time come in the order in which they were planned. */
export class Events {
  /** Virtual time, ms. */
  now = 0
  #planned = 0
  #ran = 0
  readonly #heap: Event[] = []
  /** What virtual time waits for: a module that is loaded, which takes real time. */
  readonly #held: Promise<void>[] = []

  /** Plans an event `afterMs` from now. Returns how to cancel it. */
  plan(afterMs: number, run: () => void): () => void {
    const event: Event = { at: this.now + afterMs, order: this.#planned++, run }
    this.#push(event)
    return () => {
      event.run = undefined
    }
  }

  /** Lets no virtual time pass until `promise` is settled. */
  hold(promise: Promise<void>): void {
    this.#held.push(promise)
  }

  /** Runs what is planned until `end`, ms, and lets all promises settle after each event. */
  async runUntil(end: number): Promise<void> {
    for (;;) {
      await Promise.all(this.#held.splice(0))
      const [next] = this.#heap
      if (next === undefined || next.at > end) break
      this.#pop()
      if (next.run === undefined) continue
      this.now = next.at
      next.run()
      await settled()
      // The process that runs the tests has other things to do as well.
      if (++this.#ran % 1_000 === 0) await turned()
    }
    this.now = end
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Event
      if (!isBefore(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child] as Event)) child++
      const below = heap[child]
      if (below === undefined || !isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

/** The code waits for `nextTick` and for promises, one after the other, at most so often within one event. */
const ROUNDS = 4

/** Nothing of a simulation waits for anything real, so promises settle without a turn of the event loop, which costs more than the event. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    let left = ROUNDS
    const round = () => {
      if (--left === 0) resolve()
      else process.nextTick(round)
    }
    process.nextTick(round)
  })
}

function turned(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
