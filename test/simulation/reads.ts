import type { Entry } from "../../src/api.ts"
import { versionFrom } from "../../src/operations/tokens.ts"
import { Asking, aborted, NONE } from "./asking.ts"
import { KEYS } from "./calls.ts"
import { type Expectation, mustBe, PromiseBroken } from "./history.ts"
import type { World } from "./process.ts"

/** The reads of a process, each checked against the history of the table. */
export class Reads extends Asking {
  async read(expected: Expectation, asking: Promise<string | undefined>): Promise<void> {
    const text = await this.answer(asking)
    if (text !== NONE) this.seen.returned(expected, text)
  }

  async entry(key: string): Promise<Entry | undefined> {
    const expected = this.expect(key, false)
    const entry = await this.answer(this.client.getEntry(key))
    if (entry === NONE) return undefined
    const text = entry && Buffer.from(entry.value).toString()
    this.seen.returned(expected, text)
    if (entry === undefined || text === undefined) return undefined
    const { expiresAt } = this.history.state(key, this.history.indexOf(key, text))
    const version = versionFrom(entry.version, key, "race")
    // A write that arrived twice has two.
    const hasVersion = this.history.of(key).some((state) => state.text === text && state.version === version)
    mustBe(`whether ${key}=${text} had the version that was shown`, hasVersion, true)
    mustBe(`the expiry of ${key}=${text}`, entry.expiresAt, expiresAt)
    showed(this.world, key, entry.version)
    await this.world.pause("use a version")
    return this.process.closing === undefined ? entry : undefined
  }

  async readMany(strong: boolean, asking: Promise<Map<string, string>>): Promise<void> {
    const expected = KEYS.map((key) => ({ ...this.expect(key, strong), waits: true }))
    const found = await this.answer(asking)
    if (found === NONE) return
    for (const expectation of expected) this.seen.returned(expectation, found.get(expectation.key))
  }

  async exists(expected: Expectation, asking: Promise<boolean>): Promise<void> {
    const there = await this.answer(asking)
    if (there !== NONE) this.seen.existed(expected, there)
  }

  /** All pages, of one entry each: what is there throughout comes once. */
  async scan(fill: boolean): Promise<void> {
    const clocks = [this.history.clocks, this.process.clocks]
    const startedAt = this.history.now()
    const before = KEYS.map((key) => [key, this.history.current(key)] as const)
    const shown: string[] = []
    const scanning = this.client.scan("", { fill, limit: 1 })
    for (;;) {
      const expected = new Map(
        KEYS.map((key) => [key as string, { ...this.expect(key, true), waits: true, byTable: true }]),
      )
      const next = await this.answer(scanning.next(), false)
      if (next === NONE) return
      if (next.value === undefined) break
      const { key, value } = next.value
      const expectation = expected.get(key)
      if (expectation === undefined || shown.includes(key)) throw new PromiseBroken(`a scan showed ${key}`)
      this.seen.returned(expectation, Buffer.from(value).toString())
      shown.push(key)
    }
    for (const [key, index] of before) {
      const isSame = this.history.current(key) === index
      const isLive = clocks.every((each) =>
        this.history.isLive(this.history.state(key, index), each.latest(startedAt)),
      )
      if (isSame && isLive && !shown.includes(key))
        throw new PromiseBroken(`a scan left out ${key}, there throughout`)
    }
  }

  async abortedGet(): Promise<void> {
    const controller = new AbortController()
    const reading = this.client.getText("a", { signal: controller.signal }).catch((error: unknown) => error)
    await this.world.pause("abort a get")
    controller.abort(aborted)
    await reading
  }
}

/** Keeps a version that a caller was shown. */
export function showed({ tokens }: World, key: string, version: string): void {
  tokens.set(key, [...(tokens.get(key) ?? []), version])
}
