/** Splits what a client sends into requests, so that the fault proxy can treat each one separately. */
export interface Framing {
  /** The parts that may go on to the server, in order. The bytes of an incomplete request are kept back. */
  split(chunk: Buffer): Piece[]
  /** The streams whose replies this chunk from the server completes. */
  answered(chunk: Buffer): readonly number[]
}

export interface Piece {
  bytes: Buffer
  /** Set on the bytes that complete a request: the bytes that a rule may look at. */
  request?: Buffer
  /** The stream that it came on; always 0 in a protocol that answers in order. */
  stream: number
}

/** Every chunk is one request, and every reply is one chunk: Redis, if the commands are small. */
export const chunked = (): Framing => ({
  split: (chunk) => [{ bytes: chunk, request: chunk, stream: 0 }],
  answered: () => [0],
})

const HEAD_END = Buffer.from("\r\n\r\n")

/** HTTP/1.1 with `content-length` or chunked bodies, one request at a time: DynamoDB, Azure Tables. */
export function http1(): Framing {
  let pending = Buffer.alloc(0)
  return {
    split(chunk) {
      pending = Buffer.concat([pending, chunk])
      const pieces: Piece[] = []
      for (;;) {
        const length = http1RequestLength(pending)
        if (length === undefined || pending.length < length) return pieces
        const request = pending.subarray(0, length)
        pieces.push({ bytes: request, request, stream: 0 })
        pending = pending.subarray(length)
      }
    },
    answered: () => [0],
  }
}

/** The length of the request at the start of `bytes`; `undefined` while it is not known. */
function http1RequestLength(bytes: Buffer): number | undefined {
  const headEnd = bytes.indexOf(HEAD_END)
  if (headEnd < 0) return undefined
  const bodyStart = headEnd + HEAD_END.length
  const head = bytes.toString("latin1", 0, headEnd)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
  if (length !== undefined) return bodyStart + Number(length)
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return bodyStart
  const lastChunk = bytes.indexOf("0\r\n\r\n", bodyStart)
  return lastChunk < 0 ? undefined : lastChunk + 5
}

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
const FRAME_HEAD = 9
const DATA = 0
const HEADERS = 1
const END_STREAM = 1

interface Frame {
  bytes: Buffer
  type: number
  endsStream: boolean
  stream: number
}

/**
 * HTTP/2 without TLS: gRPC, so Firestore. Header frames pass at once, because their compression depends on their order
 * on the connection; a stream's data is kept back until it is complete. A rule sees the data, not the headers.
 */
export function http2(): Framing {
  const fromClient = frameReader(PREFACE)
  const fromServer = frameReader()
  const bodies = new Map<number, Buffer[]>()
  return {
    split: (chunk) =>
      fromClient(chunk).flatMap((frame): Piece[] => {
        if (frame.type !== DATA) return [{ bytes: frame.bytes, stream: frame.stream }]
        const body = [...(bodies.get(frame.stream) ?? []), frame.bytes]
        bodies.set(frame.stream, body)
        if (!frame.endsStream) return []
        bodies.delete(frame.stream)
        const bytes = Buffer.concat(body)
        return [{ bytes, request: bytes, stream: frame.stream }]
      }),
    answered: (chunk) =>
      fromServer(chunk)
        .filter((frame) => frame.endsStream)
        .map((frame) => frame.stream),
  }
}

function frameReader(preface?: Buffer): (chunk: Buffer) => Frame[] {
  let pending = Buffer.alloc(0)
  let expected = preface
  return (chunk) => {
    pending = Buffer.concat([pending, chunk])
    const frames: Frame[] = []
    if (expected !== undefined) {
      if (pending.length < expected.length) return frames
      frames.push({ bytes: pending.subarray(0, expected.length), type: -1, endsStream: false, stream: 0 })
      pending = pending.subarray(expected.length)
      expected = undefined
    }
    while (pending.length >= FRAME_HEAD) {
      const length = FRAME_HEAD + pending.readUIntBE(0, 3)
      if (pending.length < length) break
      const type = pending.readUInt8(3)
      const flags = pending.readUInt8(4)
      frames.push({
        bytes: pending.subarray(0, length),
        type,
        endsStream: (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0,
        stream: pending.readUInt32BE(5) & 0x7fffffff,
      })
      pending = pending.subarray(length)
    }
    return frames
  }
}
