import { createReadStream } from "node:fs"
import { open } from "node:fs/promises"
import { addAbortSignal, pipeline, Readable } from "node:stream"
import { createGunzip } from "node:zlib"
import { InputError } from "../failure.ts"
import { type Access, detectFormat, type LogFormat, parserOf } from "./log-format.ts"

export interface BadLine {
  /** From 1. */
  line: number
  reason: string
}

/** A log that is read once, as a stream. Its totals are complete after the last batch. */
export interface AccessLog {
  readonly format: LogFormat
  /** Size of the file, bytes, before decompression; `undefined` for a pipe. */
  readonly totalBytes: number | undefined
  /** The accesses in order, one batch for each chunk of the input. */
  readonly batches: AsyncIterable<Access[]>
  /** Bytes of the file read so far, before decompression. */
  bytesRead(): number
  /** Lines that are no access: their number, and the first few. */
  badLines(): { count: number; first: readonly BadLine[] }
}

/** Longer than any line of a known format. A file with a longer line is no access log. */
const MAX_LINE_CHARS = 65_536
/** Number of lines from which the format is detected. */
const SAMPLE_LINES = 50
const BAD_LINES_LISTED = 5
/** Bytes of the log in one chunk, before or after decompression: a few thousand accesses. */
const CHUNK_BYTES = 128 * 1024
const ZSTD_MAGIC = 0xfd2fb528

/**
 * Opens the access log at `path`, or standard input for `-`. Recognises gzip by its first bytes. Rejects with an {@link InputError} if
 * the log cannot be read or is empty. Reading fails when `signal` is aborted.
 */
export async function openAccessLog(
  path: string,
  { format, stdin, signal }: { format?: LogFormat; stdin: Readable; signal?: AbortSignal },
): Promise<AccessLog> {
  const { source, totalBytes } =
    path === "-" ? { source: stdin, totalBytes: undefined } : await openFile(path)
  if (signal !== undefined) addAbortSignal(signal, source)
  const { chunks, bytesRead } = await decompressed(source, path)
  const bad = new BadLines()
  const lines = splitLines(chunks, bad)

  const head: NumberedLine[] = []
  for (let batch = await lines.next(); !batch.done; batch = await lines.next()) {
    head.push(...batch.value)
    if (head.length >= SAMPLE_LINES) break
  }
  if (head.length === 0 && bad.count === 0)
    throw new InputError("INPUT_EMPTY", `${nameOf(path)} holds no accesses`)
  const found = format ?? detectFormat(head.slice(0, SAMPLE_LINES).map(({ text }) => text))
  if (found === undefined) {
    const message =
      `${nameOf(path)} is in no format that replay knows: its lines are neither one key each nor the CSV of Twitter's traces. ` +
      "Extract the keys first; --format keys takes each whole line for a key"
    throw new InputError("FORMAT_UNKNOWN", message)
  }
  const parse = parserOf(found)

  const batches = async function* () {
    yield parseLines(head, parse, bad)
    for await (const batch of lines) yield parseLines(batch, parse, bad)
  }
  return {
    format: found,
    totalBytes,
    batches: batches(),
    bytesRead,
    badLines: () => ({ count: bad.count, first: bad.first }),
  }
}

class BadLines {
  count = 0
  readonly first: BadLine[] = []

  add(line: number, reason: string): void {
    this.count++
    if (this.first.length < BAD_LINES_LISTED) this.first.push({ line, reason })
  }
}

interface NumberedLine {
  line: number
  text: string
}

function parseLines(lines: NumberedLine[], parse: ReturnType<typeof parserOf>, bad: BadLines): Access[] {
  const accesses: Access[] = []
  for (const { line, text } of lines) {
    const access = parse(text, line)
    if (typeof access === "string") bad.add(line, access)
    else if (access !== undefined) accesses.push(access)
  }
  return accesses
}

async function openFile(path: string): Promise<{ source: Readable; totalBytes: number | undefined }> {
  try {
    const handle = await open(path)
    const stat = await handle.stat()
    if (stat.isDirectory()) {
      await handle.close()
      throw new InputError("INPUT_UNREADABLE", `${path} is a directory; name a file, or - for standard input`)
    }
    const source = createReadStream(path, { fd: handle, highWaterMark: CHUNK_BYTES })
    return { source, totalBytes: stat.isFile() ? stat.size : undefined }
  } catch (error) {
    if (error instanceof InputError) throw error
    const reason = error instanceof Error && "code" in error ? String(error.code) : String(error)
    const known: Record<string, string> = { ENOENT: "no such file", EACCES: "permission denied" }
    throw new InputError("INPUT_UNREADABLE", `cannot read ${path}: ${known[reason] ?? reason}`, {
      cause: error,
    })
  }
}

interface Decompressed {
  chunks: AsyncIterable<Buffer>
  /** Bytes of the source read for the chunks so far. */
  bytesRead(): number
}

/** The chunks of `source`, decompressed if it is gzip. */
async function decompressed(source: Readable, path: string): Promise<Decompressed> {
  let bytesRead = 0
  const chunks = (async function* () {
    for await (const chunk of source) {
      const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk)
      bytesRead += bytes.length
      yield bytes
    }
  })()
  const head: Buffer[] = []
  while (head.reduce((length, chunk) => length + chunk.length, 0) < 4) {
    const next = await chunks.next()
    if (next.done) break
    head.push(next.value)
  }
  const first = Buffer.concat(head)
  const whole = (async function* () {
    yield first
    yield* chunks
  })()
  if (first.length >= 4 && first.readUInt32LE(0) === ZSTD_MAGIC) {
    await chunks.return(undefined)
    throw new InputError(
      "INPUT_UNREADABLE",
      `${nameOf(path)} is compressed with zstd; pipe it in: zstd -dc FILE | tiered-kv replay -`,
    )
  }
  const gzip = first[0] === 0x1f && first[1] === 0x8b
  return gzip ? gunzipped(whole, path) : { chunks: whole, bytesRead: () => bytesRead }
}

function gunzipped(source: AsyncIterable<Buffer>, path: string): Decompressed {
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES })
  // The loop below reports failures. Without a callback they would be uncaught exceptions.
  pipeline(Readable.from(source, { objectMode: false }), gunzip, () => {})
  const chunks = async function* () {
    try {
      for await (const chunk of gunzip) yield chunk
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error) || !String(error.code).startsWith("Z_")) throw error
      const message = `the gzip data of ${nameOf(path)} is damaged or cut short`
      throw new InputError("INPUT_DAMAGED", message, { cause: error })
    }
  }
  return { chunks: chunks(), bytesRead: () => gunzip.bytesWritten }
}

/** Numbered lines without their ends; blank lines are skipped. Keys need not be UTF-8, so each byte is one character. */
async function* splitLines(chunks: AsyncIterable<Buffer>, bad: BadLines): AsyncGenerator<NumberedLine[]> {
  let rest = ""
  let overlong = false
  let line = 0
  for await (const chunk of chunks) {
    const parts = (rest + chunk.toString("latin1")).split("\n")
    rest = parts.pop() ?? ""
    const lines: NumberedLine[] = []
    for (const part of parts) {
      line++
      if (overlong || part.length > MAX_LINE_CHARS) bad.add(line, `longer than ${MAX_LINE_CHARS} bytes`)
      else if (part !== "" && part !== "\r")
        lines.push({ line, text: part.endsWith("\r") ? part.slice(0, -1) : part })
      overlong = false
    }
    if (rest.length > MAX_LINE_CHARS) {
      overlong = true
      rest = ""
    }
    if (lines.length > 0) yield lines
  }
  line++
  if (overlong) bad.add(line, `longer than ${MAX_LINE_CHARS} bytes`)
  else if (rest !== "" && rest !== "\r")
    yield [{ line, text: rest.endsWith("\r") ? rest.slice(0, -1) : rest }]
}

function nameOf(path: string): string {
  return path === "-" ? "standard input" : path
}
