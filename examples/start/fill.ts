import { type Kv, KvError } from "../../src/index.ts"
import type { Document } from "./documents.ts"

export interface Refusal {
  readonly document: Document
  readonly error: KvError
}

export interface Filled {
  readonly accepted: readonly Document[]
  readonly refused: readonly Refusal[]
  readonly elapsedMs: number
}

/** Stores every document that the store takes: all at once, so that it may write many in one transaction. */
export async function fill(store: Kv, documents: readonly Document[]): Promise<Filled> {
  const startedAt = performance.now()
  const accepted: Document[] = []
  const refused: Refusal[] = []
  const keep = async (document: Document) => {
    try {
      await store.set(document.key, document.bytes)
      accepted.push(document)
    } catch (error) {
      if (!(error instanceof KvError) || error.code !== "INVALID_VALUE") throw error
      refused.push({ document, error })
    }
  }
  await Promise.all(documents.map(keep))
  // In the order of the files, not in the order in which the writes ended, so that the same seed reads the same documents.
  const place = new Map(documents.map((document, index) => [document, index]))
  accepted.sort((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0))
  return { accepted, refused, elapsedMs: performance.now() - startedAt }
}
