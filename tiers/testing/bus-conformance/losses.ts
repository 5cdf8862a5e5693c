import assert from "node:assert/strict"
import { systemRuntime } from "../../runtime.ts"
import { type BusCases, count, publishAgain, type Told, textOf } from "./member.ts"

export const lossCases: BusCases = {
  async "losses: a cut connection is told as lost, and as alive once frames arrive again"({ join, cut }) {
    const members = [await join(), await join()]
    await cut()
    for (const one of members) {
      await one.until((told) => count(told, "alive") === 2, "alive again")
      assert.deepEqual(one.told, ["alive", "lost", "alive"])
    }
    const [one, other] = members
    assert.ok(one !== undefined && other !== undefined)
    await one.publish("again")
    await other.received("again")
    await one.received("again")
  },

  async "losses: frames are missing only where the subscriber was told so"({ join, cut }) {
    const [publisher, reader] = [await join(), await join()]
    let accepted = 0
    for (; accepted < 50; accepted++) await publishAgain(publisher, String(accepted))
    const cutting = cut()
    for (; accepted < 100; accepted++) await publishAgain(publisher, String(accepted))
    await cutting
    await reader.until((told) => count(told, "alive") === 2, "alive again")
    await publishAgain(publisher, "end")
    await reader.received("end")
    for (const one of [reader, publisher]) {
      for (const stretch of stretchesOf(one.told)) {
        const numbers = stretch.filter((text) => text !== "end").map(Number)
        // A publication that was rejected and published again may arrive twice.
        const jumps = numbers.filter((number, index) => index > 0 && number > Number(numbers[index - 1]) + 1)
        assert.deepEqual(jumps, [], "frames are missing before these, without a loss between them")
      }
      const signs = one.told.filter((told) => typeof told === "string")
      assert.deepEqual(signs, ["alive", "lost", "alive"])
      assert.notEqual(typeof one.told[one.told.indexOf("lost") + 1], "object", "a frame came before alive")
    }
  },

  async "losses: a publication rejects while the server cannot be reached, and passes afterwards"({
    join,
    halt,
    resume,
  }) {
    const [one, other] = [await join(), await join()]
    await halt()
    await other.until((told) => told.at(-1) === "lost", "lost")
    await assert.rejects(one.publish("lost"))
    await resume()
    await other.until((told) => told.at(-1) === "alive", "alive again")
    await publishAgain(one, "again")
    await other.received("again")
    assert.ok(!other.texts().includes("lost"), "a frame arrived whose publication had been rejected")
  },

  async "losses: a server that answers no more is noticed by a publication, within the lease"({
    join,
    freeze,
    thaw,
  }) {
    const one = await join()
    await one.publish("before")
    await freeze()
    try {
      const begin = systemRuntime.monotonic()
      await assert.rejects(one.publish("into the void"))
      await one.until((told) => told.at(-1) === "lost", "lost")
      const tookMs = systemRuntime.monotonic() - begin
      assert.ok(tookMs < 2 * one.bus.traits.leaseMs, `it took ${tookMs} ms`)
    } finally {
      await thaw()
    }
    await one.until((told) => told.at(-1) === "alive", "alive again")
    await publishAgain(one, "after")
    await one.received("after")
  },

  async "losses: a subscriber that is too slow for the server is told, and subscribes again"({
    join,
    overflow,
  }) {
    const one = await join()
    await overflow()
    await one.until((told) => count(told, "lost") === 1 && told.at(-1) !== "lost", "lost and alive again")
    await publishAgain(one, "after")
    await one.received("after")
  },
}

/** The texts between the signs. */
function stretchesOf(told: readonly Told[]): string[][] {
  const stretches: string[][] = []
  for (const one of told) {
    if (one === "alive") stretches.push([])
    else if (one !== "lost") stretches.at(-1)?.push(textOf(one))
  }
  return stretches
}
