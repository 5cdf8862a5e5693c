import { Command, Option } from "commander"
import type { Kv } from "../../api.ts"
import { listedUrlForms } from "../../binding/url.ts"
import { type Io, write } from "../io.ts"

export interface StoreOptions {
  name: string
  backend?: string
  json?: boolean
}

/** A command with the options that name a store. */
export function storeCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .addOption(
      new Option("-b, --backend <url>", `the store by its URL: ${listedUrlForms()}`).conflicts("name"),
    )
    .option("-n, --name <name>", "the store by its name, found as kv(name) finds it", "cache")
    .option("--json", "answer, and fail, in JSON")
    .option("--debug", "show the stack of a failure")
}

/** Opens the store that the options name, calls `use` with it, and closes it. */
export async function withStore<T>(
  { name, backend }: StoreOptions,
  use: (store: Kv) => Promise<T>,
): Promise<T> {
  const { kv } = await import("../../kv.ts")
  // A command reads each key once and then ends, so L1 and telemetry would have no use.
  const store = await kv(name, {
    l1: false,
    telemetry: false,
    ...(backend === undefined ? {} : { backend }),
  })
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

export function consistencyOf({ strong }: { strong?: boolean }) {
  return strong ? ({ consistency: "strong" } as const) : {}
}

export function writeJson(io: Io, answer: object): Promise<void> {
  return write(io.stdout, `${JSON.stringify(answer)}\n`)
}
