import { KvError } from "../errors.ts"

/**
 * `DEPENDENCY_MISSING` for the package `name`, whose `import()` failed with `cause`. `user` is the subject of the message: "Redis".
 *
 * Each `import()` of a package that may be absent stands directly in a `try`: otherwise esbuild and webpack refuse to bundle an application
 * that has not installed the package.
 */
export function dependencyMissing(
  backend: string,
  user: string,
  name: string,
  cause: unknown,
  advice = "",
): KvError {
  const reason = cause instanceof Error ? cause.message.split("\n", 1)[0] : "for an unknown reason"
  const message = `${user} needs the package ${name}: npm install ${name}${advice}. Loading it failed: ${reason}`
  return new KvError("DEPENDENCY_MISSING", message, { operation: "open", backend, cause })
}

/** The version of an installed package; `undefined` if that is not known, as in a bundle, or if the package keeps it to itself. */
export function installedVersion(name: string): string | undefined {
  try {
    const { createRequire } = process.getBuiltinModule("node:module")
    const { version }: { version?: unknown } = createRequire(import.meta.url)(`${name}/package.json`)
    return typeof version === "string" ? version : undefined
  } catch {
    return undefined
  }
}
