import { describe, expect, test } from "vitest"
import type { CallOptions, FirestoreStub } from "../../../tiers/firestore/channel.ts"
import { CALLS_PER_CHANNEL, Channels } from "../../../tiers/firestore/channels.ts"
import { GRPC, NotSent } from "../../../tiers/firestore/errors.ts"
import { settle, testRuntime } from "../../support/runtime.ts"

/** A channel that answers nothing. */
class FakeStub implements FirestoreStub {
  closed = false

  batchGetDocuments(): never {
    throw new Error("not used")
  }
  runQuery(): never {
    throw new Error("not used")
  }
  commit(): void {}
  close(): void {
    this.closed = true
  }
}

/** What gRPC rejects with at the deadline of a call on a connection. */
class OwnDeadline extends Error {
  readonly code = GRPC.DEADLINE_EXCEEDED
  readonly details = "Deadline exceeded after 1.000s,remote_addr=127.0.0.1:1"
}

interface Sent {
  readonly on: FirestoreStub
  readonly options: CallOptions
  answer(): Promise<void>
  fail(error: Error): Promise<void>
}

async function outcomeOf(call: () => Promise<void>): Promise<unknown> {
  try {
    await call()
    return "answered"
  } catch (error) {
    return error
  }
}

function fixture(count = 1, dial: () => Promise<FirestoreStub> = async () => new FakeStub(), timers = true) {
  const runtime = testRuntime()
  if (!timers) runtime.setTimer = () => ({ cancel() {} })
  const dialled: FakeStub[] = []
  const stubs = Array.from({ length: count }, () => new FakeStub())
  const open = async () => {
    const stub = await dial()
    if (stub instanceof FakeStub) dialled.push(stub)
    return stub
  }
  const channels = new Channels(stubs, open, runtime)
  const sent: Sent[] = []
  /** Makes a call; its outcome is `answered` or the error. */
  const send = (limitMs = 1_000, signal?: AbortSignal): Promise<unknown> =>
    outcomeOf(async () => {
      const entered = channels.enter({ limitMs, signal })
      const slot = entered instanceof Promise ? await entered : entered
      await new Promise<void>((resolve, reject) => {
        const end = async (settleCall: () => void, error?: Error) => {
          slot.end(error)
          settleCall()
          await settle()
        }
        sent.push({
          on: slot.stub,
          options: slot.options,
          answer: () => end(resolve),
          fail: (error) => end(() => reject(error), error),
        })
      })
    })
  const sendMany = (calls: number) => Array.from({ length: calls }, () => send())
  /** Makes a call that gets no answer until its deadline. */
  const timeOut = async () => {
    const outcome = send()
    await settle()
    const call = sent.at(-1)
    await runtime.advance(1_000)
    await call?.fail(new OwnDeadline())
    expect(await outcome).toBeInstanceOf(OwnDeadline)
  }
  return { runtime, channels, stubs, dialled, sent, send, sendMany, timeOut }
}

describe("calls beyond the room of all channels", () => {
  test("use a further channel only if all before it are full", async () => {
    const { stubs, sent, sendMany } = fixture(2)
    sendMany(CALLS_PER_CHANNEL + 1)
    await settle()
    expect(sent.filter(({ on }) => on === stubs[0])).toHaveLength(CALLS_PER_CHANNEL)
    expect(sent.filter(({ on }) => on === stubs[1])).toHaveLength(1)
  })

  test("wait in order, and each is sent when another has ended", async () => {
    const { sent, send, sendMany } = fixture()
    sendMany(CALLS_PER_CHANNEL)
    const [next, last] = [send(2_000), send(3_000)]
    await settle()
    expect(sent).toHaveLength(CALLS_PER_CHANNEL)
    await sent[7]?.answer()
    expect(sent).toHaveLength(CALLS_PER_CHANNEL + 1)
    await sent.at(-1)?.answer()
    expect(await next).toBe("answered")
    await sent.at(-1)?.answer()
    expect(await last).toBe("answered")
    expect(sent).toHaveLength(CALLS_PER_CHANNEL + 2)
  })

  test("get the rest of their limit as their deadline", async () => {
    const { runtime, sent, send, sendMany } = fixture()
    sendMany(CALLS_PER_CHANNEL)
    send(1_000)
    await runtime.advance(600)
    const before = Date.now()
    await sent[0]?.answer()
    const { deadline = 0 } = sent.at(-1)?.options ?? {}
    expect(deadline).toBeGreaterThanOrEqual(before + 400)
    expect(deadline).toBeLessThanOrEqual(Date.now() + 400)
  })

  test("are not sent if no channel has room within their limit", async () => {
    const { runtime, sent, send, sendMany } = fixture()
    sendMany(CALLS_PER_CHANNEL)
    const late = send(500)
    await runtime.advance(500)
    expect(await late).toBeInstanceOf(NotSent)
    for (const call of sent) await call.answer()
    expect(sent).toHaveLength(CALLS_PER_CHANNEL)
  })

  test("are not sent after their limit, also if a channel has room before their timer fires", async () => {
    const { runtime, sent, send, sendMany } = fixture(1, undefined, false)
    sendMany(CALLS_PER_CHANNEL)
    const late = send(500)
    await runtime.advance(500)
    await sent[0]?.answer()
    expect(await late).toBeInstanceOf(NotSent)
    expect(sent).toHaveLength(CALLS_PER_CHANNEL)
    expect(await Promise.race([send(0), settle()])).toBeInstanceOf(NotSent)
    send()
    expect(sent, "the room is given back").toHaveLength(CALLS_PER_CHANNEL + 1)
  })

  test("are not sent if they are aborted while they wait", async () => {
    const { sent, send, sendMany } = fixture()
    sendMany(CALLS_PER_CHANNEL)
    const controller = new AbortController()
    const aborted = send(1_000, controller.signal)
    const reason = new Error("enough")
    controller.abort(reason)
    expect(await aborted).toBe(reason)
    await sent[0]?.answer()
    expect(sent).toHaveLength(CALLS_PER_CHANNEL)
  })

  test("are refused when the channels are closed, and calls that were sent continue", async () => {
    const { channels, stubs, sent, send, sendMany } = fixture()
    const [first] = sendMany(CALLS_PER_CHANNEL)
    const waiting = send()
    channels.close()
    expect(await waiting).toMatchObject({ reason: "closed" })
    expect(stubs[0]?.closed).toBe(true)
    await sent[0]?.answer()
    expect(await first).toBe("answered")
  })
})

describe("a channel without answers", () => {
  test("is replaced after two calls that reach their deadlines", async () => {
    const { stubs, dialled, sent, send, timeOut } = fixture()
    await timeOut()
    expect(dialled).toEqual([])
    await timeOut()
    expect(dialled).toHaveLength(1)
    const outcome = send()
    expect(sent.at(-1)?.on).toBe(dialled[0])
    await sent.at(-1)?.answer()
    expect(await outcome).toBe("answered")
    expect(stubs[0]?.closed).toBe(true)
  })

  test("keeps the calls that are under way, and is closed after the last of them", async () => {
    const { runtime, stubs, dialled, sent, send, timeOut } = fixture()
    const [first, second, third] = [send(60_000), send(60_000), send(60_000)]
    for (let call = 0; call < 2; call++) await timeOut()
    expect(stubs[0]?.closed).toBe(false)
    await sent[0]?.answer()
    expect(await first).toBe("answered")
    await runtime.advance(10_000)
    await sent[1]?.fail(new OwnDeadline())
    expect(await second).toBeInstanceOf(OwnDeadline)
    expect(stubs[0]?.closed).toBe(false)
    await sent[2]?.fail(new OwnDeadline())
    expect(await third).toBeInstanceOf(OwnDeadline)
    expect(stubs[0]?.closed).toBe(true)
    expect(sent).toHaveLength(5)
    expect(dialled).toHaveLength(1)
  })

  test("is kept if any call was answered between the two", async () => {
    const { dialled, sent, send, timeOut } = fixture()
    await timeOut()
    send()
    await sent.at(-1)?.answer()
    await timeOut()
    expect(dialled).toEqual([])
  })

  test("is replaced although a call was aborted between the two", async () => {
    const { dialled, sent, send, timeOut } = fixture()
    await timeOut()
    const controller = new AbortController()
    send(1_000, controller.signal)
    controller.abort()
    await sent.at(-1)?.fail(new Error("cancelled"))
    await timeOut()
    expect(dialled).toHaveLength(1)
  })

  test("gets no more calls while the new one is being opened", async () => {
    let opened: (stub: FakeStub) => void = () => {}
    const { sent, send, timeOut } = fixture(1, () => new Promise((resolve) => (opened = resolve)))
    for (let call = 0; call < 2; call++) await timeOut()
    send()
    expect(sent).toHaveLength(2)
    const replacement = new FakeStub()
    opened(replacement)
    await settle()
    expect(sent).toHaveLength(3)
    expect(sent[2]?.on).toBe(replacement)
  })

  test("is replaced at the first deadlines after its last answer, also of calls that were sent before that", async () => {
    const { runtime, dialled, sent, send } = fixture()
    const slow = [send(2_000), send(2_000)]
    send()
    await sent[2]?.answer()
    await runtime.advance(2_000)
    for (const call of sent.slice(0, 2)) await call.fail(new OwnDeadline())
    for (const outcome of slow) expect(await outcome).toBeInstanceOf(OwnDeadline)
    expect(dialled).toHaveLength(1)
  })

  test("is kept if its last answer came less than a second before", async () => {
    const { runtime, dialled, sent, send } = fixture()
    send(2_000)
    send(2_000)
    await runtime.advance(1_001)
    send()
    await sent[2]?.answer()
    await runtime.advance(999)
    for (const call of sent.slice(0, 2)) await call.fail(new OwnDeadline())
    expect(dialled).toEqual([])
  })

  test("is kept for a second, however short the limits of the calls are", async () => {
    const { runtime, dialled, sent, send } = fixture()
    for (let call = 0; call < 10; call++) {
      send(100)
      await runtime.advance(99)
      await sent.at(-1)?.fail(new OwnDeadline())
    }
    expect(dialled).toEqual([])
    send(100)
    await runtime.advance(99)
    await sent.at(-1)?.fail(new OwnDeadline())
    expect(dialled).toHaveLength(1)
  })

  test("is replaced once by calls that reach their deadlines together, and calls that wait use the new one", async () => {
    const { runtime, dialled, sent, send, sendMany } = fixture()
    sendMany(CALLS_PER_CHANNEL)
    await runtime.advance(1_000)
    const waiting = [send(), send(), send(), send()]
    await Promise.all(sent.slice().map((call) => call.fail(new OwnDeadline())))
    expect(dialled).toHaveLength(1)
    const later = sent.slice(CALLS_PER_CHANNEL)
    expect(later).toHaveLength(waiting.length)
    // The first slot was free before the channel was known to be silent.
    expect(later.slice(1).map(({ on }) => on)).toEqual([dialled[0], dialled[0], dialled[0]])
    for (const call of later) await call.answer()
    expect(await Promise.all(waiting)).toEqual(waiting.map(() => "answered"))
  })

  test("stays in use if no new channel can be opened, and is replaced after two more calls", async () => {
    let attempts = 0
    const { dialled, timeOut } = fixture(1, async () => {
      if (++attempts === 1) throw new Error("no credentials")
      return new FakeStub()
    })
    for (let call = 0; call < 2; call++) await timeOut()
    expect(attempts).toBe(1)
    await timeOut()
    expect(attempts).toBe(1)
    await timeOut()
    expect(dialled).toHaveLength(1)
  })

  test("is not replaced after the close, and a channel that was being opened is closed", async () => {
    let opened: (stub: FakeStub) => void = () => {}
    const { channels, timeOut } = fixture(1, () => new Promise((resolve) => (opened = resolve)))
    for (let call = 0; call < 2; call++) await timeOut()
    channels.close()
    const late = new FakeStub()
    opened(late)
    await settle()
    expect(late.closed).toBe(true)
  })
})
