/** The message of a test that fails because a dependency is no longer what the code takes it for. */
export function changed(what: string): string {
  return `${what} has changed; docs/decisions/0013-reaching-into-dependencies.md says what rests on it`
}
