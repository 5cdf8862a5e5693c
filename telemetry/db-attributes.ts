import type { Attributes } from "@opentelemetry/api"
import type { BackendOperation, BackendTraits, Place } from "../tiers/backend.ts"
import { ATTRIBUTE } from "./names.ts"

/** The attributes of every span and every duration of one kind of call. */
export interface DbCall {
  /** `GetItem TABLE`, `EVALSHA write`, or only the call if the service has neither tables nor procedures. */
  readonly spanName: string
  readonly attributes: Attributes
}

export function dbCallsOf({
  system,
  calls,
  procedures = {},
  conditionalDelete = { call: calls.delete },
  place = {},
}: BackendTraits): Record<BackendOperation | "conditionalDelete", DbCall> {
  const { collection } = place
  const callOf = (operation: BackendOperation) => dbCallOf(calls[operation], procedures[operation])
  const dbCallOf = (call: string, procedure: string | undefined): DbCall => {
    const target = collection ?? procedure
    return {
      spanName: target === undefined ? call : `${call} ${target}`,
      attributes: {
        [ATTRIBUTE.dbSystem]: system,
        [ATTRIBUTE.dbOperation]: call,
        ...(procedure === undefined ? {} : { [ATTRIBUTE.dbProcedure]: procedure }),
        ...placeAttributes(place),
      },
    }
  }
  return {
    get: callOf("get"),
    getMany: callOf("getMany"),
    exists: callOf("exists"),
    put: callOf("put"),
    putMany: callOf("putMany"),
    delete: callOf("delete"),
    conditionalDelete: dbCallOf(conditionalDelete.call, conditionalDelete.procedure),
    deleteMany: callOf("deleteMany"),
    scan: callOf("scan"),
  }
}

function placeAttributes({ collection, namespace, address, port, region }: Place): Attributes {
  return {
    ...(collection === undefined ? {} : { [ATTRIBUTE.dbCollection]: collection }),
    ...(namespace === undefined ? {} : { [ATTRIBUTE.dbNamespace]: namespace }),
    ...(address === undefined ? {} : { [ATTRIBUTE.serverAddress]: address }),
    ...(region === undefined ? {} : { [ATTRIBUTE.cloudRegion]: region }),
    ...(port === undefined ? {} : { [ATTRIBUTE.serverPort]: port }),
  }
}
