import { KvError, type KvErrorCode } from "../errors.ts"
import { CorruptRow } from "../util/binary-row.ts"

/** One command, as its errors describe it. */
export interface RedisRequest {
  /** The method of the backend that sends it. */
  readonly operation: string
  readonly key?: string | undefined
  /** Whether the command may change something: then its outcome is unknown after a lost reply. */
  readonly effect: "read" | "write"
  /** Longest time of the command, ms. */
  readonly timeoutMs: number
}

export const KIND = "redis"

/** The permissions of the server's user, in the syntax of `ACL SETUSER`, besides the keys with the store's prefix. */
export const DATA_COMMANDS = [
  ...["+get", "+mget", "+strlen", "+exists", "+getrange", "+set", "+setrange", "+time", "+unlink"],
  ...["+evalsha", "+eval", "+scan", "+info", "+select", "+client|setname", "+cluster|slots", "+cluster|info"],
] as const

/**
 * The codes of the server's errors, by their first word (in the error of a script it is further on: Redis 5 and 6 put other words before
 * it). Redis gives these answers before a command or a script changes anything, so that a write that got one was not applied.
 */
const ANSWERS: Readonly<Record<string, readonly [code: KvErrorCode, message: string]>> = {
  NOAUTH: ["ACCESS_DENIED", "the server wants a password: put it in the URL, redis://USER:PASSWORD@HOST"],
  WRONGPASS: ["ACCESS_DENIED", "the server refused the user name or the password"],
  NOPERM: [
    "ACCESS_DENIED",
    `the user may not do this: allow it the keys of the prefix and ${DATA_COMMANDS.join(" ")}`,
  ],
  WRONGTYPE: [
    "CORRUPT_ENTRY",
    "another type than a string lies under the key: another program's, use a prefix",
  ],
  OOM: [
    "THROTTLED",
    "the server is at its maxmemory and may evict nothing: raise maxmemory, or give entries a time to live",
  ],
  LOADING: ["UNAVAILABLE", "the server is still loading its data"],
  READONLY: [
    "UNAVAILABLE",
    "the server is a replica: after a failover, its address has to lead to the primary",
  ],
  MASTERDOWN: ["UNAVAILABLE", "the server is a replica that has lost its primary"],
  NOREPLICAS: ["UNAVAILABLE", "the server has fewer replicas in reach than min-replicas-to-write asks for"],
  CLUSTERDOWN: ["UNAVAILABLE", "the cluster is down, or nobody serves the slot of the key"],
  TRYAGAIN: ["UNAVAILABLE", "the slot of the key is being moved to another node"],
  BUSY: ["UNAVAILABLE", "a script or function keeps the server busy: SCRIPT KILL or FUNCTION KILL ends it"],
  MISCONF: [
    "UNAVAILABLE",
    "the server refuses writes because it cannot write its snapshot: see its log, and stop-writes-on-bgsave-error",
  ],
  MOVED: ["BINDING_INVALID", "the server is a node of a cluster: add ?cluster to the URL"],
  CROSSSLOT: ["BINDING_INVALID", "the server is a node of a cluster: add ?cluster to the URL"],
}

/** The codes of errors that begin with `ERR`, by their text. */
const SENTENCES: readonly (readonly [RegExp, code: KvErrorCode, message: string])[] = [
  [/invalid (username-)?password|AUTH.*called without/i, "ACCESS_DENIED", "the server refused the password"],
  [/DB index is out of range/i, "STORE_NOT_FOUND", "the server has no database of this number"],
  [/SELECT is not allowed in cluster mode/i, "BINDING_INVALID", "a cluster has database 0 alone"],
  [/cluster support disabled/i, "BINDING_INVALID", "the server is not of a cluster: leave ?cluster out"],
  [/max number of clients/i, "UNAVAILABLE", "the server has as many clients as its maxclients allows"],
]

const WORDS = new RegExp(`\\b(${Object.keys(ANSWERS).join("|")})\\b`)

/** Error texts of ioredis for commands that it did not write to a socket. */
const NOT_SENT = /enableOfflineQueue options is false|None of startup nodes|Failed to refresh slots cache/

/** Maps the errors of ioredis, of the server and of the row codec. No other place maps errors. */
export function toKvError(cause: unknown, request: RedisRequest): KvError {
  if (cause instanceof KvError) return cause
  const failure = (code: KvErrorCode, message: string) =>
    new KvError(code, message, { operation: request.operation, backend: KIND, key: request.key, cause })

  if (cause instanceof CorruptRow)
    return failure("CORRUPT_ENTRY", `what lies under the key is no entry: ${cause.message}`)
  const text = textOf(cause)
  // ioredis has given up redirecting. The last answer is known, the outcomes of the attempts before it are not.
  const answer = /Too many Cluster redirections/.test(text) ? undefined : answerOf(cause)
  if (answer !== undefined) return failure(...answer)
  if (isAnswer(cause) && request.effect === "read")
    return failure("UNAVAILABLE", "the server answered with an error, see the cause")
  if (NOT_SENT.test(text)) return failure("UNAVAILABLE", `${NO_CONNECTION}; nothing was sent. ${REMEDY}`)
  if (request.effect === "write") {
    if (isAnswer(cause)) {
      const message = "the server, or a proxy before it, answered with an error that does not say whether"
      return failure("OUTCOME_UNKNOWN", `${message} the write was applied, see the cause`)
    }
    return failure(
      "OUTCOME_UNKNOWN",
      "the connection was lost before the server's reply: the write may have been applied",
    )
  }
  if (/timed out/i.test(text)) return failure("TIMEOUT", "the server did not answer in time")
  return failure("UNAVAILABLE", "the connection was lost before the server's reply")
}

const NO_CONNECTION = "there is no connection to Redis"
const REMEDY = "Check that it runs, and the host, the port and redis:// or rediss:// of its URL"

/** The error of a command that was not sent for lack of a connection, from the last error of the client. */
export function connectionError(cause: unknown, operation: string, key?: string): KvError {
  const [code, message] = answerOf(cause) ?? ["UNAVAILABLE" as const, notConnected(cause)]
  return new KvError(code, message, { operation, backend: KIND, key, cause })
}

/** Whether waiting cannot repair the failure, because the settings have to change. */
export function isFatal(cause: unknown): boolean {
  const code = answerOf(cause)?.[0]
  return code === "ACCESS_DENIED" || code === "BINDING_INVALID" || code === "STORE_NOT_FOUND"
}

function answerOf(cause: unknown): readonly [KvErrorCode, string] | undefined {
  const text = textOf(cause)
  const word = WORDS.exec(text)?.[1]
  if (word !== undefined && Object.hasOwn(ANSWERS, word)) return ANSWERS[word]
  const sentence = SENTENCES.find(([pattern]) => pattern.test(text))
  return sentence && [sentence[1], sentence[2]]
}

/** The word with which the server's answer begins: `ERR`, `WRONGTYPE`, `OOM`. */
export function responseAttributes(cause: unknown): Record<string, string> {
  const word = isAnswer(cause) ? /^[A-Z]+(?= )/.exec(textOf(cause))?.[0] : undefined
  return word === undefined ? {} : { "db.response.status_code": word }
}

function isAnswer(cause: unknown): boolean {
  return cause instanceof Error && cause.name === "ReplyError"
}

/** The function that gives the credentials failed; its error is the cause. */
export class NoCredentials extends Error {
  constructor(cause: unknown) {
    super("no credentials", { cause })
  }
}

function notConnected(cause: unknown): string {
  if (cause instanceof NoCredentials)
    return "the function `credentials` gave none, see the cause; nothing was sent"
  const code = cause instanceof Error && "code" in cause ? ` (${String(cause.code)})` : ""
  return `${NO_CONNECTION}${code}; nothing was sent. ${REMEDY}`
}

/** The message, and that of the error which ioredis wraps when no node of a cluster answered. */
function textOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const inner = "lastNodeError" in cause ? cause.lastNodeError : undefined
  return inner instanceof Error ? `${cause.message} ${inner.message}` : cause.message
}
