import { createRequire } from "node:module"
import { createAzureSdkInstrumentation } from "@azure/opentelemetry-instrumentation-azure-sdk"
import { AwsInstrumentation } from "@opentelemetry/instrumentation-aws-sdk"
import { GrpcInstrumentation } from "@opentelemetry/instrumentation-grpc"
import { HttpInstrumentation } from "@opentelemetry/instrumentation-http"
import { IORedisInstrumentation } from "@opentelemetry/instrumentation-ioredis"
import type { TestTracing } from "./otel.ts"

/** Registers the stock instrumentations of the SDKs, as a service with OpenTelemetry has them, and loads the SDKs so that they are patched. */
export function registerInstrumentations({ provider }: TestTracing): void {
  const instrumentations = [
    new IORedisInstrumentation({ requireParentSpan: false }),
    new AwsInstrumentation(),
    new GrpcInstrumentation(),
    new HttpInstrumentation(),
    createAzureSdkInstrumentation(),
  ]
  for (const instrumentation of instrumentations) {
    instrumentation.setTracerProvider(provider)
    instrumentation.enable()
  }
  // What is loaded by `require` is patched without a loader hook.
  const require = createRequire(import.meta.url)
  for (const sdk of [
    "http",
    "ioredis",
    "@aws-sdk/client-dynamodb",
    "@google-cloud/firestore",
    "@azure/data-tables",
  ])
    require(sdk)
}
