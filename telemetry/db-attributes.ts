import type { Attributes } from "@opentelemetry/api"
import type { BackendOperation, BackendTraits, Place } from "../tiers/backend.ts"
import { ATTRIBUTE } from "./names.ts"

/** What every span and every duration of one kind of call says. */
export interface DbRequest {
  /** `GetItem TABLE`, or the call alone where the service has no tables. */
  readonly spanName: string
  readonly attributes: Attributes
}

export function dbRequestsOf({
  system,
  calls,
  place = {},
}: BackendTraits): Record<BackendOperation, DbRequest> {
  const { collection } = place
  const request = (operation: BackendOperation): DbRequest => {
    const call = calls[operation]
    return {
      spanName: collection === undefined ? call : `${call} ${collection}`,
      attributes: {
        [ATTRIBUTE.dbSystem]: system,
        [ATTRIBUTE.dbOperation]: call,
        ...placeAttributes(place),
      },
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

function placeAttributes({ collection, namespace, address, port }: Place): Attributes {
  return {
    ...(collection === undefined ? {} : { [ATTRIBUTE.dbCollection]: collection }),
    ...(namespace === undefined ? {} : { [ATTRIBUTE.dbNamespace]: namespace }),
    ...(address === undefined ? {} : { [ATTRIBUTE.serverAddress]: address }),
    ...(port === undefined ? {} : { [ATTRIBUTE.serverPort]: port }),
  }
}
