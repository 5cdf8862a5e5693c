import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { lmdb } from "../tiers/lmdb.ts"
import { describeConformance } from "./conformance/run.ts"

describeConformance("lmdb", {
  async createStore(runtime) {
    const directory = await mkdtemp(join(tmpdir(), "tiered-kv-lmdb-"))
    return {
      connect: () => lmdb(directory, { runtime }),
      dispose: () => rm(directory, { recursive: true }),
    }
  },
})
