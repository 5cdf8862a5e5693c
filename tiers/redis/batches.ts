import { KvError } from "../errors.ts"

/** As {@link eachEntry}, for keys alone. */
export function eachKey<Result>(
  keys: readonly string[],
  work: (key: string) => Promise<Result | undefined>,
): Promise<Map<string, Result | KvError>> {
  return eachEntry(new Map(keys.map((key) => [key, key])), work)
}

/** Runs the requests of all keys concurrently. A failure is an error of its key, except `CLOSED`, which rejects. */
export async function eachEntry<Item, Result>(
  items: ReadonlyMap<string, Item>,
  work: (key: string, item: Item) => Promise<Result | undefined>,
): Promise<Map<string, Result | KvError>> {
  const results = new Map<string, Result | KvError>()
  await Promise.all(
    Array.from(items, async ([key, item]) => {
      const answer = work(key, item)
      const result = (await failureOf(answer)) ?? (await answer)
      if (result !== undefined) results.set(key, result)
    }),
  )
  return results
}

export async function failureOf(answer: Promise<unknown>): Promise<KvError | undefined> {
  try {
    await answer
    return undefined
  } catch (error) {
    if (error instanceof KvError && error.code !== "CLOSED") return error
    throw error
  }
}
