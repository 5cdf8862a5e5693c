import type { Tariff } from "../tiers/backend.ts"
import type { CallObserver } from "../tiers/wrappers/resilience/observer.ts"
import { report } from "./safely.ts"

/** Units that a service bills, by the tariff of its backend. */
export interface Capacity {
  read: number
  write: number
  /** Present only if deletes are billed separately from writes. */
  delete?: number
}

/** The counters at 0; `undefined` if the backend declares no tariff. */
export function capacityOf(tariff: Tariff | undefined): Capacity | undefined {
  return tariff && { read: 0, write: 0, ...(tariff.billsDeletesApart ? { delete: 0 } : {}) }
}

/** Adds the units of every answer to `capacity`. */
export function metering(tariff: Tariff, capacity: Capacity): NonNullable<CallObserver["answered"]> {
  const read = (units: number) => {
    capacity.read += units
  }
  const write = (units: number) => {
    capacity.write += units
  }
  const remove = (units: number) => {
    if (capacity.delete === undefined) capacity.write += units
    else capacity.delete += units
  }
  return {
    get: reported(([key], entry) => read(tariff.read(key, entry))),
    getMany: reported(([keys], found) => {
      for (const key of keys) {
        const entry = found.get(key)
        if (!(entry instanceof Error)) read(tariff.read(key, entry))
      }
    }),
    exists: reported(([key]) => read(tariff.read(key, undefined))),
    probe: reported(([keys]) => {
      for (const key of keys) read(tariff.read(key, undefined))
    }),
    scan: reported((_, { entries }) => read(tariff.page(entries))),
    put: reported(([key, item]) => write(tariff.write(key, item))),
    putMany: reported(([writes], results) => {
      for (const [key, item] of writes) {
        if (!(results.get(key) instanceof Error)) write(tariff.write(key, item))
      }
    }),
    delete: reported(([key]) => remove(tariff.delete(key))),
    deleteMany: reported((_, results) => {
      for (const [key, result] of results) if (!(result instanceof Error)) remove(tariff.delete(key))
    }),
  }
}

/** Calls `count`. An error of the tariff goes to `diag` and is not thrown. */
function reported<A, T>(count: (args: A, answer: T) => void): (args: A, answer: T) => void {
  return (args, answer) => {
    try {
      count(args, answer)
    } catch (error) {
      report(error)
    }
  }
}
