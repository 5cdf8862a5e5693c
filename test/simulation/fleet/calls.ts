import { KvError } from "../../../tiers/errors.ts"
import { HEARTBEAT_MS, LEASE_MS } from "./hub.ts"
import type { Process, World } from "./process.ts"

export const BOUND_MS = HEARTBEAT_MS + LEASE_MS

/** Counts the calls of a run, and makes texts that were never written before. */
export interface Tally {
  calls: number
  texts: number
}

/** Makes one call of a client in `process`, and checks what it returns. Failures that a fault explains are no matter. */
export async function call(process: Process, world: World, tally: Tally): Promise<void> {
  const { random, setting } = world
  tally.calls++
  try {
    if (random() < setting.writes) await write(process, world, tally)
    else await read(process, world)
  } catch (error) {
    if (!(error instanceof KvError)) throw error
  }
}

async function read(process: Process, world: World): Promise<void> {
  const { store } = process
  const { random } = world
  if (store === undefined) return
  const key = keyOf(world)
  const choice = random()
  if (choice < 0.8) checkOf(process, world, key)(await store.getText(key))
  else if (choice < 0.84) {
    const text = store.peekText(key)
    if (text !== undefined) checkOf(process, world, key)(text)
  } else if (choice < 0.92) {
    const keys = [key, keyOf(world), keyOf(world)]
    const checks = keys.map((one) => [one, checkOf(process, world, one)] as const)
    const found = await store.getManyText(keys, { fill: random() < 0.5 })
    for (const [one, check] of checks) check(found.get(one))
  } else if (choice < 0.96) {
    checkOf(process, world, key, 0)(await store.getText(key, { consistency: "strong" }))
  } else if (choice < 0.995) {
    const check = checkOf(process, world, key)
    if (!(await store.exists(key))) check(undefined)
  } else if (choice < 0.999) store.invalidate(key)
  else store.invalidate()
}

/** Checks what a read of `key` that begins now returns. */
function checkOf(
  process: Process,
  world: World,
  key: string,
  boundMs = BOUND_MS,
): (text: string | undefined) => void {
  const { events, ttlMs } = world
  const begun = { begunAt: events.now, floor: process.seen.floorOf(key), boundMs, ttlMs }
  return (text) => process.seen.check(key, text, begun)
}

async function write(process: Process, world: World, tally: Tally): Promise<void> {
  const { random, table } = world
  const [key, other] = [keyOf(world), keyOf(world)]
  const texts = [key, other].map((one) => `${one}#${++tally.texts}`)
  const made: (readonly [key: string, state: number])[] = []
  const follow = (changed: string, state: number) => {
    const text = table.statesOf(changed)[state]?.text
    if (text === undefined ? changed === key : texts.includes(text)) made.push([changed, state])
  }
  process.link.onApplied.add(follow)
  try {
    await writeOne(process, random(), [key, other], texts)
    acknowledge(process, world, made)
  } finally {
    process.link.onApplied.delete(follow)
  }
}

async function writeOne(
  { store }: Process,
  choice: number,
  [key = "", other = ""]: readonly string[],
  [text = "", second = ""]: readonly string[],
): Promise<void> {
  if (store === undefined) return
  if (choice < 0.5) await store.set(key, text)
  else if (choice < 0.65) await store.delete(key)
  else if (choice < 0.75) await store.set(key, text, { ifNotExists: true })
  else if (choice < 0.9) {
    const entry = await store.getEntry(key)
    if (entry === undefined) return
    if (choice < 0.85) await store.set(key, text, { ifVersion: entry.version })
    else await store.delete(key, { ifVersion: entry.version })
  } else if (key !== other) {
    await store.setMany([
      [key, text],
      [other, second],
    ])
  }
}

/**
 * A call is acknowledged that made these states: this process shows them from now on, and every other one once the bound has passed, if the bus
 * has answered the process within the lease.
 */
function acknowledge(
  process: Process,
  { table, events }: World,
  made: readonly (readonly [key: string, state: number])[],
): void {
  const isCovered = events.now - process.wire.answeredAt <= LEASE_MS
  for (const [key, index] of made) {
    process.seen.raise(key, index)
    const state = table.statesOf(key)[index]
    if (isCovered && state !== undefined) state.boundSince = Math.min(state.boundSince, events.now)
  }
}

/** A key; some are asked for much more often than others. */
function keyOf({ random, setting }: World): string {
  return `key:${Math.floor(setting.keys * random() ** 2)}`
}
