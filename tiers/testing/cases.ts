export interface ConformanceCase {
  /** Unique and stable; departures refer to it. */
  readonly name: string
  /** Runs the case by itself. A failure rejects. */
  run(): Promise<ConformanceOutcome>
}

/** `departed`: the case failed, as declared. `skipped`: the case does not apply to the subject. */
export type ConformanceOutcome =
  | { outcome: "passed" }
  | { outcome: "departed"; reason: string }
  | { outcome: "skipped"; reason: string }

/** The cases that a subject is known to fail, by name, each with the reason. */
export type Departures = Readonly<Record<string, string>>

/** The bodies of cases, by name. A failed assertion, or any other throw, is a failure. */
export type CaseBodies<Context> = Readonly<Record<string, (context: Context) => Promise<void>>>

/** Is thrown by a case that does not apply to the subject. */
export class Skipped extends Error {}

/** Makes cases of their bodies. `inContext` makes the context of one case, passes it on, and removes what it made. */
export function casesOf<Context>(
  bodies: CaseBodies<Context>,
  departures: Departures,
  inContext: (use: (context: Context) => Promise<void>) => Promise<void>,
): ConformanceCase[] {
  return [
    { name: "departures: each names a case of this suite", run: () => checkDepartures(bodies, departures) },
    ...Object.entries(bodies).map(([name, body]) => ({
      name,
      run: () => runCase(body, Object.hasOwn(departures, name) ? departures[name] : undefined, inContext),
    })),
  ]
}

async function checkDepartures(bodies: object, departures: Departures): Promise<ConformanceOutcome> {
  const unknown = Object.keys(departures).filter((name) => !Object.hasOwn(bodies, name))
  if (unknown.length > 0) throw new Error(`stale departure, no case has this name: ${unknown.join(" / ")}`)
  return { outcome: "passed" }
}

async function runCase<Context>(
  body: (context: Context) => Promise<void>,
  departure: string | undefined,
  inContext: (use: (context: Context) => Promise<void>) => Promise<void>,
): Promise<ConformanceOutcome> {
  let failure: { error: unknown } | undefined
  await inContext(async (context) => {
    try {
      await body(context)
    } catch (error) {
      failure = { error }
    }
  })
  if (departure !== undefined) {
    if (failure !== undefined && !(failure.error instanceof Skipped))
      return { outcome: "departed", reason: departure }
    throw new Error(`stale departure: the case no longer fails; it was declared because ${departure}`)
  }
  if (failure?.error instanceof Skipped) return { outcome: "skipped", reason: failure.error.message }
  if (failure !== undefined) throw failure.error
  return { outcome: "passed" }
}
