import assert from "node:assert/strict"
import { type BusCases, type BusMember, frameOf } from "./member.ts"

const PUBLICATIONS = 25
const FRAMES = 4

/** Publishes one after the other, as a store does. */
async function publishMany(one: BusMember, name: string): Promise<string[]> {
  const texts: string[] = []
  for (let publication = 0; publication < PUBLICATIONS; publication++) {
    const frames = Array.from({ length: FRAMES }, (_, frame) => `${name} ${publication} ${frame}`)
    texts.push(...frames)
    await one.publish(...frames)
  }
  return texts
}

export const frameCases: BusCases = {
  async "frames: everybody receives what one publishes, once and in order, the publisher too"({ join }) {
    const members = [await join(), await join(), await join()]
    const [publisher] = members
    assert.ok(publisher !== undefined)
    const texts = await publishMany(publisher, "a")
    await publisher.publish("end")
    for (const one of members) {
      await one.received("end")
      assert.deepEqual(one.texts(), [...texts, "end"])
    }
  },

  async "frames: those of all publishers arrive in one order everywhere"({ join }) {
    const members = [await join(), await join(), await join()]
    const published = await Promise.all(members.map((one, index) => publishMany(one, String(index))))
    const all = published.flat()
    for (const one of members) {
      await one.until((told) => told.length >= all.length + 1, "all frames of all")
      assert.deepEqual(one.texts().sort(), [...all].sort())
      for (const [index, own] of published.entries()) {
        assert.deepEqual(
          one.texts().filter((text) => text.startsWith(`${index} `)),
          own,
        )
      }
    }
    const [first, ...others] = members.map((one) => one.texts())
    for (const other of others) assert.deepEqual(other, first)
  },

  async "frames: any bytes arrive as they are, from one to the largest frame"({ join }) {
    const [publisher, reader] = [await join(), await join()]
    const { maxFrameBytes } = publisher.bus.traits
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    const largest = Uint8Array.from({ length: maxFrameBytes }, (_, index) => index % 251)
    const frames = [Uint8Array.of(0), every, frameOf("\r\n$5\r\nhello\r\n"), largest]
    await publisher.bus.publish(frames)
    await publisher.publish("end")
    for (const one of [publisher, reader]) {
      await one.received("end")
      const got = one.told.filter((told) => typeof told !== "string").slice(0, -1)
      assert.deepEqual(got.map(hex), frames.map(hex))
    }
  },

  async "frames: a publication of many of the largest size arrives whole, and its bytes stay"({ join }) {
    const [publisher, reader] = [await join(), await join()]
    const frames = Array.from({ length: 16 }, (_, index) =>
      new Uint8Array(publisher.bus.traits.maxFrameBytes).fill(index),
    )
    await publisher.bus.publish(frames)
    await publisher.bus.publish([frameOf("end")])
    await reader.received("end")
    await publisher.bus.publish(frames.map((frame) => frame.map((byte) => 255 - byte)))
    await publisher.publish("end of others")
    await reader.received("end of others")
    const got = reader.told.filter((told) => typeof told !== "string").slice(0, frames.length)
    assert.deepEqual(got.map(hex), frames.map(hex))
  },

  async "frames: those of another channel do not arrive"({ join }) {
    const [one, other] = [await join(), await join("tiered-kv:test:other")]
    await other.publish("other")
    await one.publish("own")
    await other.publish("end")
    await one.received("own")
    await other.received("end")
    assert.deepEqual(one.texts(), ["own"])
    assert.deepEqual(other.texts(), ["other", "end"])
  },
}

function hex(frame: Uint8Array): string {
  return Buffer.from(frame).toString("hex")
}
