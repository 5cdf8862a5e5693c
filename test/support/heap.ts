import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** Bytes of the heap in use, once nothing is left to collect. */
export async function heapInUse(): Promise<number> {
  setFlagsFromString("--expose-gc")
  const gc: () => void = runInNewContext("gc")
  for (let round = 0; round < 3; round++) {
    gc()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}
