import fc from "fast-check"
import type { L1Options } from "../../src/api.ts"
import type { StepCall } from "./calls.ts"
import { type Faults, READ_FAULTS, type ReadFault, WRITE_FAULTS, type WriteFault } from "./faults.ts"
import type { Service } from "./table.ts"

/** What to race, and over what. */
export interface Focus {
  /** These kinds of call, on one key, in one process. @default a few kinds, other ones in each race, on two keys, in up to three */
  readonly calls?: readonly StepCall[]
  /** The faults of the first few writes; then reads have none. @default anything */
  readonly fault?: WriteFault | readonly WriteFault[]
  /** Whether each process has a second store over the same rows. @default some have */
  readonly siblings?: boolean
  /** Whether the table has replicas that lag. @default it may */
  readonly lags?: boolean
  /** Whether the table gets the retries and the batching of a backend over a network. @default false */
  readonly networked?: boolean
}

/** What a race is run in. */
export interface Setting {
  readonly service: Service
  readonly synchronous: boolean
  /** Of each process. */
  readonly faults: readonly Faults[]
  readonly l1: readonly (L1Options | false)[]
  /** The second store of each process that has one. */
  readonly sibling: readonly (L1Options | false | undefined)[]
  readonly maxConcurrency: number
  readonly retryBudget: number
  /** Whether the first process runs on the runtime of the system, over which L1 takes its shortcuts with the clock. */
  readonly system: boolean
  /** The error of the wall clock of each process over a network, ms. In one machine there is one clock. */
  readonly clockErrorsMs: readonly number[]
}

/** The settings of L1, one of them in each store. Tiny ones evict at any moment. */
const l1: fc.Arbitrary<L1Options | false> = fc.oneof(
  { weight: 4, arbitrary: fc.constant<L1Options>({}) },
  { weight: 2, arbitrary: fc.constant<L1Options>({ maxEntries: 1 }) },
  { weight: 1, arbitrary: fc.constant<L1Options>({ maxBytes: 1 }) },
  { weight: 1, arbitrary: fc.constant<L1Options>({ negativeTtlMs: 0 }) },
  { weight: 1, arbitrary: fc.constant<false>(false) },
)

/** Of every kind, or of one kind alone. */
const faults: fc.Arbitrary<Faults> = fc.record({
  writes: fc.oneof(
    fc.array(fc.constantFrom<WriteFault[]>("pass", "pass", "pass", ...WRITE_FAULTS), { maxLength: 8 }),
    fc.constantFrom(...WRITE_FAULTS).map((fault) => Array<WriteFault>(4).fill(fault)),
  ),
  reads: fc.array(fc.constantFrom<ReadFault[]>("pass", "pass", "pass", "pass", ...READ_FAULTS), {
    maxLength: 8,
  }),
})

/** Shorter than the time to live of L1. */
const LAG_MS = 20

export function settings({
  calls,
  fault,
  networked = false,
  siblings,
  lags = calls === undefined ? undefined : false,
}: Focus): fc.Arbitrary<Setting> {
  const writes = typeof fault === "string" ? Array<WriteFault>(4).fill(fault) : fault
  const befalls = writes === undefined ? faults : fc.constant<Faults>({ writes, reads: [] })
  const sibling =
    siblings === undefined && calls === undefined
      ? fc.option(l1, { nil: undefined, freq: 3 })
      : siblings
        ? l1
        : fc.constant(undefined)
  return fc.constantFrom(1, ...(calls === undefined ? [1, 2, 3] : [])).chain((count) => {
    const each = { minLength: count, maxLength: count }
    return fc.record({
      service: fc.record({
        networked: fc.constant(networked),
        ordered: networked ? fc.boolean() : fc.constantFrom(true, true, false),
        clock: fc.boolean(),
        lagMs: lags === undefined ? fc.constantFrom(0, 0, LAG_MS) : fc.constant(lags ? LAG_MS : 0),
      }),
      synchronous: networked ? fc.constant(false) : fc.nat(5).map((chance) => chance === 0),
      faults: fc.array(befalls, each),
      l1: fc.array(l1, each),
      sibling: fc.array(sibling, each),
      maxConcurrency: fc.constantFrom(256, 256, 2, 1),
      retryBudget: fc.constantFrom(1, 0.1, 0),
      system: fc.nat(3).map((chance) => chance === 0 || calls?.includes("freeze") === true),
      clockErrorsMs: fc.array(fc.constantFrom(0, 0, 0, 40, -40), each),
    })
  })
}
