import { KEY_FORM } from "../../../tiers/limits.ts"

/** What a publisher tells the other stores over its rows. The fields that all messages have in common. */
interface Head {
  /** One life of a publisher: 16 hexadecimal digits. */
  readonly publisher: string
  /** Ordinal number of the message in the life of its publisher; a heartbeat and a farewell have that of the last one before them. */
  readonly number: number
}

/** The publisher is alive, and has numbered its messages up to `number`. */
export interface Heartbeat extends Head {
  readonly kind: "heartbeat"
  /** Names this heartbeat: 16 hexadecimal digits that cannot be guessed. */
  readonly beat: string
  /** The newest heartbeat of the publisher that the bus had accepted when this one left; absent before the first. */
  readonly accepted?: string | undefined
}

/** Keys were written or invalidated. */
export interface Invalidation extends Head {
  readonly kind: "invalidation"
  readonly keys: readonly InvalidatedKey[]
}

export interface InvalidatedKey {
  readonly key: string
  /** The version that was written; absent after a delete and an invalidation. */
  readonly version?: string | undefined
  /** How long the service may still apply a write of the key, ms; 0: it will not. */
  readonly quarantineMs: number
}

/** Every key was invalidated. */
export interface Flush extends Head {
  readonly kind: "flush"
  /** As in {@link InvalidatedKey}, for any key. */
  readonly quarantineMs: number
}

/** The publisher closes, and has numbered its messages up to `number`. */
export interface Farewell extends Head {
  readonly kind: "farewell"
}

export type Message = Heartbeat | Invalidation | Flush | Farewell

const KINDS = ["heartbeat", "invalidation", "flush", "farewell"] as const

/*
 * A frame: `tkv` and the version of the format (4 bytes), a hash of the channel (8), the publisher (8), the kind (1), the number (6), then
 *  - of a heartbeat: its name (8), the accepted one's (8, zeros if there is none);
 *  - of an invalidation: for each key its length (2), the key, the length of the version (1), the version, the quarantine (4);
 *  - of a flush: the quarantine (4).
 * Numbers are big-endian, texts are ASCII.
 */
const MAGIC = Buffer.from("tkv\x01", "latin1")
const HEAD_BYTES = 27
const NAME_BYTES = 8
const NONE = "0".repeat(16)
const VERSION_FORM = /^[\x21-\x7e]{1,120}$/
const MAX_QUARANTINE_MS = 2 ** 32 - 1

/** Writes and reads the messages of one channel. */
export class Wire {
  readonly #channel: Buffer

  /** @param channel names the rows; a frame of another channel is not read */
  constructor(channel: string) {
    this.#channel = process
      .getBuiltinModule("node:crypto")
      .createHash("sha256")
      .update(channel)
      .digest()
      .subarray(0, 8)
  }

  encode(message: Message): Uint8Array {
    const head = Buffer.alloc(HEAD_BYTES)
    MAGIC.copy(head)
    this.#channel.copy(head, 4)
    head.write(message.publisher, 12, "hex")
    head[20] = KINDS.indexOf(message.kind)
    head.writeUIntBE(message.number, 21, 6)
    return Buffer.concat([head, ...bodyOf(message)])
  }

  /** The message in a frame; `"foreign"` for one of another channel, `undefined` for what is no message of this format. */
  decode(frame: Uint8Array): Message | "foreign" | undefined {
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.length)
    if (bytes.length < HEAD_BYTES || !bytes.subarray(0, 4).equals(MAGIC)) return undefined
    if (!bytes.subarray(4, 12).equals(this.#channel)) return "foreign"
    const publisher = bytes.toString("hex", 12, 20)
    const number = bytes.readUIntBE(21, 6)
    const body = bytes.subarray(HEAD_BYTES)
    switch (KINDS[bytes[20] as number]) {
      case "heartbeat":
        return heartbeatOf(publisher, number, body)
      case "invalidation": {
        const keys = keysOf(body)
        return keys && { kind: "invalidation", publisher, number, keys }
      }
      case "flush":
        return body.length === 4
          ? { kind: "flush", publisher, number, quarantineMs: body.readUInt32BE() }
          : undefined
      case "farewell":
        return body.length === 0 ? { kind: "farewell", publisher, number } : undefined
      default:
        return undefined
    }
  }
}

/** The bytes of `key` in a frame. */
export function frameBytesOf({ key, version }: InvalidatedKey): number {
  return 7 + key.length + (version?.length ?? 0)
}

function bodyOf(message: Message): Buffer[] {
  switch (message.kind) {
    case "heartbeat":
      return [Buffer.from(message.beat + (message.accepted ?? NONE), "hex")]
    case "invalidation":
      return message.keys.map(keyBytes)
    case "flush":
      return [quarantineBytes(message.quarantineMs)]
    case "farewell":
      return []
  }
}

function keyBytes({ key, version = "", quarantineMs }: InvalidatedKey): Buffer {
  const bytes = Buffer.allocUnsafe(7 + key.length + version.length)
  bytes.writeUInt16BE(key.length)
  bytes.write(key, 2, "latin1")
  bytes[2 + key.length] = version.length
  bytes.write(version, 3 + key.length, "latin1")
  quarantineBytes(quarantineMs).copy(bytes, 3 + key.length + version.length)
  return bytes
}

function quarantineBytes(quarantineMs: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(Math.min(MAX_QUARANTINE_MS, Math.ceil(quarantineMs)))
  return bytes
}

function heartbeatOf(publisher: string, number: number, body: Buffer): Heartbeat | undefined {
  if (body.length !== 2 * NAME_BYTES) return undefined
  const accepted = body.toString("hex", NAME_BYTES)
  return {
    kind: "heartbeat",
    publisher,
    number,
    beat: body.toString("hex", 0, NAME_BYTES),
    accepted: accepted === NONE ? undefined : accepted,
  }
}

/** The keys of an invalidation; `undefined` if the bytes are not as they were written. */
function keysOf(body: Buffer): InvalidatedKey[] | undefined {
  const keys: InvalidatedKey[] = []
  let at = 0
  while (at < body.length) {
    const keyEnd = at + 2 + (at + 2 > body.length ? 0 : body.readUInt16BE(at))
    const versionEnd = keyEnd + 1 + (body[keyEnd] ?? 0)
    if (versionEnd + 4 > body.length) return undefined
    const key = body.toString("latin1", at + 2, keyEnd)
    const version = body.toString("latin1", keyEnd + 1, versionEnd)
    if (!KEY_FORM.test(key) || (version !== "" && !VERSION_FORM.test(version))) return undefined
    const quarantineMs = body.readUInt32BE(versionEnd)
    keys.push({ key, version: version === "" ? undefined : version, quarantineMs })
    at = versionEnd + 4
  }
  return keys.length === 0 ? undefined : keys
}
