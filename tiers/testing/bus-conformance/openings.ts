import assert from "node:assert/strict"
import { type BusCases, count } from "./member.ts"

export const lifeCases: BusCases = {
  async "opening: the subscription is in force when it resolves, and that is told once"({ join }) {
    const [one, other] = [await join(), await join()]
    assert.deepEqual(other.told, ["alive"])
    await one.publish("first")
    await other.received("first")
    assert.equal(count(other.told, "alive"), 1)
  },

  async "opening: resolves while the server cannot be reached, and the bus is alive once it can"({
    connect,
    halt,
    resume,
  }) {
    await halt()
    const one = await connect()
    await one.open()
    assert.deepEqual(one.told, [])
    await assert.rejects(one.publish("nobody receives it"))
    await resume()
    await one.until((told) => count(told, "alive") === 1, "alive")
    await one.publish("first")
    await one.received("first")
    assert.deepEqual(one.texts(), ["first"])
  },

  async "closing: nothing is told afterwards, and the others go on"({ join }) {
    const [one, other] = [await join(), await join()]
    await one.publish("before")
    await other.received("before")
    await one.received("before")
    await one.bus.close()
    const told = [...one.told]
    await other.publish("after")
    await other.received("after")
    assert.deepEqual(one.told, told)
    assert.deepEqual(other.told.slice(0, 1), ["alive"])
    assert.equal(count(other.told, "lost"), 0)
  },

  async "closing: is idempotent, and possible before the opening and while it is under way"({ connect }) {
    const [unopened, opening] = [await connect(), await connect()]
    await unopened.bus.close()
    const opened = opening.open()
    await Promise.all([opening.bus.close(), opening.bus.close()])
    await opened.catch(() => {})
    await opening.bus.close()
  },
}
