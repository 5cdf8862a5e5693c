import type { Attributes } from "@opentelemetry/api"
import type { BackendOperation, BackendTraits } from "../tiers/backend.ts"
import { ATTRIBUTE } from "./names.ts"

/** What every span and every duration of one kind of call says. */
export interface DbRequest {
  /** `GetItem TABLE`, or the call alone where the service has no tables. */
  readonly spanName: string
  readonly attributes: Attributes
}

export function dbRequestsOf(traits: BackendTraits): Record<BackendOperation, DbRequest> {
  const place = placeOf(traits)
  const collection = place[ATTRIBUTE.dbCollection]
  const request = (operation: BackendOperation): DbRequest => {
    const call = traits.calls[operation]
    return {
      spanName: collection === undefined ? call : `${call} ${collection}`,
      attributes: { [ATTRIBUTE.dbSystem]: traits.system, [ATTRIBUTE.dbOperation]: call, ...place },
    }
  }
  return {
    get: request("get"),
    getMany: request("getMany"),
    exists: request("exists"),
    put: request("put"),
    putMany: request("putMany"),
    delete: request("delete"),
    deleteMany: request("deleteMany"),
    scan: request("scan"),
  }
}

/** `HOST:PORT`, the database after a slash unless it is 0, the prefix of the keys after a `#`. */
const REDIS_SERVER = /^(?<host>[^#]+):(?<port>\d+)(?:\/(?<database>\d+))?(?:#|$)/

/** Where the entries lie, in the terms of the conventions. */
function placeOf({ system, target }: BackendTraits): Attributes {
  if (system === "redis") {
    const { host, port, database = "0" } = REDIS_SERVER.exec(target)?.groups ?? {}
    // Several nodes, a socket, or a client that does not tell.
    if (host === undefined || host.includes(",")) {
      return { [ATTRIBUTE.serverAddress]: target.replace(/#.*/, "") }
    }
    return {
      [ATTRIBUTE.dbNamespace]: database,
      [ATTRIBUTE.serverAddress]: host,
      [ATTRIBUTE.serverPort]: Number(port),
    }
  }
  // Firestore's is PROJECT/DATABASE/COLLECTION, or DATABASE/COLLECTION; a table's name has no slash.
  const slash = system === "gcp.firestore" ? target.lastIndexOf("/") : -1
  if (slash === -1) return { [ATTRIBUTE.dbCollection]: target }
  return {
    [ATTRIBUTE.dbCollection]: target.slice(slash + 1),
    [ATTRIBUTE.dbNamespace]: target.slice(0, slash),
  }
}
