import { readFile } from "node:fs/promises"
import { isDeepStrictEqual } from "node:util"
import type { Kv } from "../../src/index.ts"
import type { Document } from "./documents.ts"
import { seededRandom, zipf } from "./popularity.ts"

export interface Reading {
  readonly readers: number
  readonly seconds: number
  readonly seed: number
  readonly exponent: number
  /** Ends the reading early: it rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** The counts of the readers. */
export interface ReadTally {
  bytes: number
  text: number
  json: number
  /** Of those, the reads by `getOrSet`, which load a document that is not stored yet from its file. */
  readThrough: number
  elapsedMs: number
}

/** Reads between two turns of the event loop: hits alone would never let a timer run. */
const READS_A_TURN = 200

/**
 * Concurrent readers that read for so many seconds, each read compared with the file.
 * @param documents what to choose from: all of them in the store but the unstored
 * @param unstored those that are stored at their first read
 * @param onTurn told how much time has passed, ms
 */
export async function read(
  store: Kv,
  documents: readonly Document[],
  unstored: ReadonlySet<Document>,
  { readers, seconds, seed, exponent, signal }: Reading,
  onTurn: (elapsedMs: number) => void,
): Promise<ReadTally> {
  const random = seededRandom(seed)
  const pick = zipf(documents, exponent, random)
  const tally: ReadTally = { bytes: 0, text: 0, json: 0, readThrough: 0, elapsedMs: 0 }
  const startedAt = performance.now()
  const endsAt = startedAt + seconds * 1_000

  const reader = async () => {
    while (performance.now() < endsAt) {
      signal?.throwIfAborted()
      for (let reads = 0; reads < READS_A_TURN; reads++) {
        const document = pick()
        if (unstored.has(document)) await readThrough(store, document, tally)
        else await readStored(store, document, random() < 0.5, tally)
      }
      onTurn(performance.now() - startedAt)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await Promise.all(Array.from({ length: readers }, reader))
  tally.elapsedMs = performance.now() - startedAt
  return tally
}

async function readStored(store: Kv, document: Document, asText: boolean, tally: ReadTally): Promise<void> {
  const { key } = document
  if (document.json !== undefined) {
    tally.json++
    checkJson(document, await store.getJson(key))
  } else if (asText && document.text !== undefined) {
    tally.text++
    if ((await store.getText(key)) !== document.text) throw different(key)
  } else {
    tally.bytes++
    checkBytes(document, await store.get(key))
  }
}

async function readThrough(store: Kv, document: Document, tally: ReadTally): Promise<void> {
  tally.bytes++
  tally.readThrough++
  checkBytes(document, await store.getOrSet(document.key, () => readFile(document.path), { as: "bytes" }))
}

function checkBytes({ key, bytes }: Document, found: Uint8Array | undefined): void {
  if (found === undefined || Buffer.compare(found, bytes) !== 0) throw different(key)
}

/** Documents whose frozen JSON was compared already: a hit gives the same object again. */
const compared = new WeakSet<object>()

function checkJson({ key, json }: Document, found: unknown): void {
  if (typeof found === "object" && found !== null && compared.has(found)) return
  if (!isDeepStrictEqual(found, json)) throw different(key)
  if (typeof found === "object" && found !== null) compared.add(found)
}

function different(key: string): Error {
  return new Error(`what was read under ${key} is not what its file holds`)
}
