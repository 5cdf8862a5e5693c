import { Command, Option } from "commander"
import { KvError } from "../../../tiers/errors.ts"
import { DEFAULTS } from "../../../tiers/limits.ts"
import { systemRuntime } from "../../../tiers/runtime.ts"
import type { Kv } from "../../api.ts"
import { type Binding, backendOf } from "../../binding/catalogue.ts"
import { resolveBinding } from "../../binding/environment.ts"
import { listedUrlForms, parseUrl } from "../../binding/url.ts"
import { checkName } from "../../operations/keys.ts"
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

/**
 * Opens the store that the options name, calls `use` with it, and closes it. Only a command that writes may make the store: otherwise a
 * mistyped path would read as an empty store.
 */
export async function withStore<T>(
  { name, backend }: StoreOptions,
  use: (store: Kv) => Promise<T>,
  { mayMake = false } = {},
): Promise<T> {
  checkName(name, "open")
  if (!mayMake)
    await checkThere(backend === undefined ? resolveBinding(name, process.env) : parseUrl(backend))
  const { kv } = await import("../../kv.ts")
  // A command reads each key once and then ends, so L1 and telemetry would have no use.
  const options = { l1: false, telemetry: false } as const
  // A URL that is given to a command names the rows themselves, not those of the store called `cache`.
  const own =
    backend === undefined
      ? undefined
      : await backendOf(parseUrl(backend), { runtime: systemRuntime, timeoutMs: DEFAULTS.timeoutMs.write })
  try {
    const store = await kv(name, own === undefined ? options : { ...options, backend: own })
    try {
      return await use(store)
    } finally {
      await store.close()
    }
  } finally {
    await own?.close()
  }
}

async function checkThere({ backend, settings }: Binding): Promise<void> {
  if ((await backend.isThere?.(settings)) !== false) return
  throw new KvError("STORE_NOT_FOUND", "there is no store; tiered-kv set makes one", {
    operation: "open",
    backend: backend.kind,
  })
}

export function consistencyOf({ strong }: { strong?: boolean }) {
  return strong ? ({ consistency: "strong" } as const) : {}
}

export function writeJson(io: Io, answer: object): Promise<void> {
  return write(io.stdout, `${JSON.stringify(answer)}\n`)
}
