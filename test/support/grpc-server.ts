import { clientOptions, type Gax, loadSdk } from "../../tiers/firestore/settings.ts"

/** A gRPC status that is not OK, to be thrown by a {@link Handler}. */
export class GrpcFailure extends Error {
  readonly code: number

  constructor(code: number, details: string) {
    super(details)
    this.code = code
  }
}

/** Answers a call: with a message, or with the messages of a stream. */
export type Handler = (
  request: Readonly<Record<string, unknown>>,
  authorization: string | undefined,
) => object | readonly object[] | Promise<object | readonly object[]>

export interface GrpcServer extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly endpoint: string
  /** The calls that came, by their names in the protocol, in camel case. */
  readonly calls: string[]
  readonly port: number
}

interface Call {
  readonly request: Record<string, unknown>
  readonly metadata: { get(name: string): (string | undefined)[] }
}

type ServiceDefinition = Parameters<InstanceType<Gax["grpc"]["Server"]>["addService"]>[0]

/**
 * A gRPC server on loopback with a service of Google's as the SDK defines it. Its handlers answer the calls. For what the emulator cannot do:
 * to fail, to wait, to refuse a token over TLS, to allow only 100 streams on a connection as the service does, and the Admin API. Methods without a handler are
 * UNIMPLEMENTED.
 */
export async function grpcServer(
  service: "Firestore" | "FirestoreAdmin",
  handlers: Readonly<Record<string, Handler>>,
  certificate?: { key: Buffer; cert: Buffer },
): Promise<GrpcServer> {
  const { sdk, gax } = await loadSdk()
  const Client = service === "Firestore" ? sdk.v1.FirestoreClient : sdk.v1.FirestoreAdminClient
  const client = new Client(clientOptions({ projectId: "test", endpoint: "127.0.0.1:1" }, gax), gax)
  const stubClass: unknown = (await client.initialize()).constructor
  const definition = (stubClass as { service: ServiceDefinition }).service

  const calls: string[] = []
  const answer = (method: string, { request, metadata }: Call) => {
    calls.push(method)
    const handler = handlers[method]
    if (handler === undefined) throw new GrpcFailure(12, `${method} is not implemented`)
    return handler(request, metadata.get("authorization")[0])
  }
  const server = new gax.grpc.Server({ "grpc.max_concurrent_streams": 100 })
  const methods = Object.entries(definition).map(([name, { responseStream }]) => {
    const method = name.charAt(0).toLowerCase() + name.slice(1)
    return [name, responseStream ? streaming(method) : unary(method)]
  })

  function unary(method: string) {
    return async (call: Call, done: (error: unknown, response?: object) => void) => {
      try {
        done(null, await answer(method, call))
      } catch (error) {
        done(error)
      }
    }
  }
  function streaming(method: string) {
    return async (
      call: Call & {
        write(message: object): void
        end(): void
        emit(event: "error", error: unknown): void
      },
    ) => {
      try {
        for (const message of [await answer(method, call)].flat()) call.write(message)
        call.end()
      } catch (error) {
        call.emit("error", error)
      }
    }
  }

  server.addService(definition, Object.fromEntries(methods))
  const port = await new Promise<number>((resolve, reject) => {
    const { createInsecure, createSsl } = gax.grpc.ServerCredentials
    const credentials =
      certificate === undefined
        ? createInsecure()
        : createSsl(null, [{ private_key: certificate.key, cert_chain: certificate.cert }])
    server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
      if (error === null) resolve(port)
      else reject(error)
    })
  })
  return {
    endpoint: `127.0.0.1:${port}`,
    port,
    calls,
    async [Symbol.asyncDispose]() {
      server.forceShutdown()
    },
  }
}
