import { describe, expect, test } from "vitest"
import { responseAttributes as ofAzure } from "../../tiers/azure-tables/errors.ts"
import { responseAttributes as ofDynamodb } from "../../tiers/dynamodb/errors.ts"
import { responseAttributes as ofFirestore } from "../../tiers/firestore/errors.ts"
import { responseAttributes as ofRedis } from "../../tiers/redis/errors.ts"

const failure = (name: string, message: string, more: object = {}) =>
  Object.assign(new Error(message), { name }, more)

describe("what a service says of a failure", () => {
  test("DynamoDB: the name of the error and the id of the request", () => {
    const $metadata = { httpStatusCode: 400, requestId: "42" }
    expect(ofDynamodb(failure("ThrottlingException", "slow down", { $metadata }))).toEqual({
      "db.response.status_code": "ThrottlingException",
      "aws.request_id": "42",
    })
    expect(ofDynamodb(failure("TimeoutError", "no answer", { $metadata: {} }))).toEqual({})
  })

  test("Azure Tables: the code of the error, else the HTTP status, and the id of the request", () => {
    const headers = new Map([["x-ms-request-id", "42"]])
    const details = { odataError: { code: "TableNotFound" } }
    expect(ofAzure(failure("RestError", "no", { statusCode: 404, details, response: { headers } }))).toEqual({
      "db.response.status_code": "TableNotFound",
      "azure.service.request.id": "42",
    })
    const bare = failure("RestError", "no", { statusCode: 502, response: { headers: new Map() } })
    expect(ofAzure(bare)).toEqual({ "db.response.status_code": "502" })
    expect(ofAzure(failure("RestError", "no connection", { code: "ECONNREFUSED" }))).toEqual({})
  })

  test("Firestore: the name of gRPC's code", () => {
    const exhausted = failure("Error", "no", { code: 8 })
    expect(ofFirestore(exhausted)).toEqual({ "db.response.status_code": "RESOURCE_EXHAUSTED" })
    expect(ofFirestore(failure("Error", "no", { code: 99 }))).toEqual({ "db.response.status_code": "99" })
    expect(ofFirestore(failure("Error", "no"))).toEqual({})
  })

  test("Redis: the word with which the answer begins", () => {
    const full = failure("ReplyError", "OOM command not allowed when used memory > 'maxmemory'.")
    expect(ofRedis(full)).toEqual({ "db.response.status_code": "OOM" })
    expect(ofRedis(failure("Error", "OOM is no answer"))).toEqual({})
  })
})
