import fc from "fast-check"

export const KEYS = ["a", "b"] as const

/** One call of one of the racing threads. */
export interface Step {
  call: StepCall
  key: string
  ttlMs: number | undefined
  /** Whether the caller gives up at some point. */
  abort: boolean
  /** How long it waits, or how far the wall clock is stepped, if that is the call; a third of that between two look-ups of a frozen process. */
  waitMs: number
  /** What the loader does, if there is one. */
  loader: "value" | "nothing" | "fail"
  /** Which of the versions that were seen it uses, if it uses an old one. */
  token: number
  /** Whether the wall clock is stepped back. */
  back: boolean
}

const READS = [
  "get",
  "getStrong",
  "getMany",
  "getManyFill",
  "getManyStrong",
  "exists",
  "existsStrong",
  "getOrSet",
  "getOrSetStrong",
  "getOrSetAhead",
  "scan",
  "scanFill",
  "abortedGet",
  "wait",
] as const
const CALLS = [
  ...READS,
  "set",
  "create",
  "swap",
  "swapStale",
  "delete",
  "deleteIf",
  "deleteStale",
  "setMany",
  "deleteMany",
  "invalidate",
  "invalidateAll",
  "writeElsewhere",
  "deleteElsewhere",
  "stepClock",
  "freeze",
  "restart",
  "close",
] as const
export type StepCall = (typeof CALLS)[number]

/** Whether the call leaves what others load untouched. */
export function isRead(call: StepCall): boolean {
  return READS.some((read) => read === call)
}

/** Threads of steps of these kinds of call, on these keys. */
export function threadsOf(calls: readonly StepCall[], keys: readonly string[]): fc.Arbitrary<Step[][]> {
  const step: fc.Arbitrary<Step> = fc.record({
    call: fc.constantFrom(...calls),
    key: fc.constantFrom(...keys),
    ttlMs: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined, freq: 2 }),
    abort: fc.nat(3).map((chance) => chance === 0),
    waitMs: fc.constantFrom(1, 10, 30, 50, 60),
    loader: fc.constantFrom("value", "value", "value", "value", "nothing", "fail"),
    token: fc.nat(3),
    back: fc.boolean(),
  })
  const many = { minLength: 1, size: "max" } as const
  return fc.array(fc.array(step, { ...many, maxLength: 5 }), { ...many, maxLength: 4 })
}

/**
 * Threads of a few kinds of call, which differ from race to race: a failure takes certain two or three kinds of call, and
 * among calls of every kind these rarely meet.
 */
export const threads: fc.Arbitrary<Step[][]> = fc
  .subarray([...CALLS], { minLength: 1, maxLength: 4 })
  .chain((calls) => threadsOf(["get", ...calls], ["a", "a", "a", "b"]))
