import { expect, test } from "vitest"
import { resolveBus } from "../../../src/binding/bus.ts"
import { broadcastBus } from "../../../tiers/buses/broadcast.ts"

const URL = "redis://user:secret@host:6380"

test("a bus is the option, or else what the variable of the store names", async () => {
  const target = async (given?: string | false, variables = {}) =>
    (await resolveBus("my-flags", given, variables)?.())?.traits.target
  expect(await target(undefined, {})).toBeUndefined()
  expect(await target(undefined, { KV_MY_FLAGS_BUS: "" })).toBeUndefined()
  expect(await target(undefined, { KV_MY_FLAGS_BUS: URL })).toBe("host:6380")
  expect(await target("valkey://other", { KV_MY_FLAGS_BUS: URL })).toBe("other:6379")
  expect(await target(false, { KV_MY_FLAGS_BUS: URL })).toBeUndefined()
  const bus = broadcastBus()
  expect(await resolveBus("my-flags", bus, { KV_MY_FLAGS_BUS: URL })?.()).toBe(bus)
})

test("every form of a Redis URL names a bus", async () => {
  const urls = {
    "rediss://host/1?prefix=a": "host:6379/1",
    "redis://a,b?cluster": "a:6379,b:6379",
    "redis-sentinel://a,b?name=main": "main@a:26379,b:26379",
    "unix:///run/redis.sock?db=2": "/run/redis.sock/2",
  }
  for (const [url, target] of Object.entries(urls)) {
    expect((await resolveBus("flags", url, {})?.())?.traits, url).toMatchObject({ target })
  }
})

test("any other URL is refused before anything is opened, without being shown", () => {
  for (const url of ["nats://user:secret@host", "lmdb:secret", "memory:", "secret", "redis://user:secret@"]) {
    const resolve = (given?: string) => () => resolveBus("flags", given, { KV_FLAGS_BUS: url })
    expect(resolve(), url).toThrow(expect.objectContaining({ code: "BINDING_INVALID" }))
    expect(resolve(), url).toThrow(/^(?!.*secret).*KV_FLAGS_BUS.*redis:\/\//s)
    expect(resolve(url), url).toThrow(/^(?!.*secret)The bus URL /s)
  }
})
