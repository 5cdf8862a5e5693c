import type {
  Attributes,
  BatchObservableResult,
  Histogram,
  Meter,
  MeterProvider,
  Observable,
} from "@opentelemetry/api"
import { installedVersion } from "../../tiers/util/packages.ts"
import { ATTRIBUTE, COUNTERS, HISTOGRAMS, LEVELS, type Metric, OPERATION, SCOPE } from "../names.ts"
import { safely } from "../safely.ts"
import { Account } from "./account.ts"
import { COUNTED, CURRENT, sum } from "./series.ts"

/**
 * The instruments of one meter provider, shared by all stores that use it. One callback reads all counters at each
 * collection. While the stores work, only durations of operations that leave L1 are recorded.
 */
export class Instruments {
  readonly operationDuration: Histogram
  readonly loaderDuration: Histogram
  readonly l1Duration: Histogram
  readonly dbDuration: Histogram
  readonly #accounts = new Map<string, Account>()

  constructor(meter: Meter) {
    const histogram = ({
      name,
      unit,
      description,
      boundaries,
    }: (typeof HISTOGRAMS)[keyof typeof HISTOGRAMS]) =>
      meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries: boundaries } })
    this.operationDuration = histogram(HISTOGRAMS.operation)
    this.loaderDuration = histogram(HISTOGRAMS.loader)
    this.l1Duration = histogram(HISTOGRAMS.l1)
    this.dbDuration = histogram(HISTOGRAMS.db)

    const observables = new Map<Metric, Observable>()
    for (const counter of Object.values(COUNTERS)) {
      const { name, unit, description } = counter
      observables.set(counter, meter.createObservableCounter(name, { unit, description }))
    }
    for (const level of Object.values(LEVELS)) {
      const { name, unit, description } = level
      observables.set(level, meter.createObservableUpDownCounter(name, { unit, description }))
    }
    const collect = (result: BatchObservableResult) => {
      for (const [name, account] of this.#accounts) {
        const observe: Observe = (metric, value, attributes) => {
          const observable = observables.get(metric)
          if (observable === undefined) return
          result.observe(observable, value, { [ATTRIBUTE.name]: name, ...attributes })
        }
        safely(() => observeAll(account, observe))
        safely(() => this.#drain(name, account))
        // The closed stores were observed for the last time. If one of the name is opened again, its counters begin at 0.
        if (account.isEmpty) this.#accounts.delete(name)
      }
    }
    meter.addBatchObservableCallback(collect, [...observables.values()])
  }

  account(name: string): Account {
    const account = this.#accounts.get(name) ?? new Account()
    this.#accounts.set(name, account)
    return account
  }

  #drain(name: string, account: Account): void {
    for (const source of account.sources) {
      for (const { seconds, operation } of source.takeSamples()) {
        this.l1Duration.record(seconds, { [ATTRIBUTE.name]: name, [ATTRIBUTE.operation]: operation })
      }
    }
  }
}

type Observe = (metric: Metric, value: number, attributes: Attributes) => void

function observeAll(account: Account, observe: Observe): void {
  const readings = account.readings()
  const totals = account.counted(readings)
  for (const [i, { metric, attributes }] of COUNTED.entries()) {
    const total = totals[i]
    if (total !== undefined) observe(metric, total, attributes)
  }
  for (const { operation, tier, type, count } of account.errors(readings)) {
    observe(COUNTERS.errors, count, {
      [ATTRIBUTE.operation]: OPERATION[operation],
      [ATTRIBUTE.tier]: tier,
      [ATTRIBUTE.errorType]: type,
    })
  }
  for (const series of CURRENT) {
    // 0 once the last store is closed: a level that is not observed keeps its last value.
    observe(series.metric, sum(series, readings) ?? 0, series.attributes)
  }
}

/** The instruments of each meter provider; `undefined` for one that failed to make them. */
const known = new WeakMap<MeterProvider, { instruments: Instruments | undefined }>()

export function instrumentsOf(provider: MeterProvider): Instruments | undefined {
  const found = known.get(provider)
  if (found !== undefined) return found.instruments
  const instruments = safely(() => new Instruments(provider.getMeter(SCOPE, installedVersion("tiered-kv"))))
  known.set(provider, { instruments })
  return instruments
}
