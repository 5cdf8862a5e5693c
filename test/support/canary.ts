/** The message of a test that fails because a dependency no longer is as the code assumes. */
export function changed(what: string): string {
  return `${what} has changed; docs/decisions/0013-reaching-into-dependencies.md says what rests on it`
}
