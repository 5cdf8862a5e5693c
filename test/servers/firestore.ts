import { execFile } from "node:child_process"
import { existsSync, realpathSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { promisify } from "node:util"
import { sharedServer } from "../support/shared.ts"
import { accepts, freePort, ServerUnavailable, startProcess, type TestServer } from "./server.ts"

const NAME = "Cloud Firestore Emulator"
const COMMAND = "cloud_firestore_emulator"
const JAR = "cloud-firestore-emulator.jar"

const run = promisify(execFile)

/** The Firestore emulator that the files of the run share. */
export const startFirestoreEmulator = () => sharedServer("firestore")

/** Google's own emulator: that of FIRESTORE_EMULATOR_HOST if it is set, else one that is started here, on Java. */
export async function launchFirestoreEmulator(): Promise<TestServer> {
  const running = process.env.FIRESTORE_EMULATOR_HOST
  if (running) return runningEmulator(running)

  // Not by the emulator's command, which is a shell script: killing it would leave the Java process running.
  const program = ["-Duser.language=en", "-Xmx512m", "-cp", await findJar(), MAIN_CLASS]
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const java = await startProcess("java", [...program, "start", "--host=127.0.0.1", `--port=${port}`], {
    ready: async () => (await fetch(url)).ok,
    remedy: "install a Java runtime, 11 or later",
  })
  const { stdout } = await run("java", [...program, "--version"])
  return {
    name: NAME,
    version: /[\d.]+/.exec(stdout)?.[0] ?? "of unknown version",
    port,
    url,
    stop: java.stop,
  }
}

const MAIN_CLASS = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"

async function runningEmulator(host: string): Promise<TestServer> {
  const url = `http://${host}`
  const port = Number(new URL(url).port)
  if (await accepts(port))
    return { name: NAME, version: "of unknown version", port, url, stop: async () => {} }
  throw new ServerUnavailable("nothing answers at FIRESTORE_EMULATOR_HOST", "start the emulator there")
}

/** The jar lies beside the emulator's command on the PATH, or in the SDK of the `gcloud` on the PATH. */
async function findJar(): Promise<string> {
  const folders = (process.env.PATH ?? "").split(delimiter)
  const command = folders.map((folder) => join(folder, COMMAND)).find(existsSync)
  const candidates = [
    ...(command === undefined ? [] : [join(dirname(realpathSync(command)), JAR)]),
    join(await gcloudRoot(), "platform/cloud-firestore-emulator", JAR),
  ]
  const jar = candidates.find(existsSync)
  if (jar !== undefined) return jar
  throw new ServerUnavailable(
    "Google's Firestore emulator is not installed",
    "run `gcloud components install cloud-firestore-emulator`, or set FIRESTORE_EMULATOR_HOST to one that is up",
  )
}

async function gcloudRoot(): Promise<string> {
  try {
    const { stdout } = await run("gcloud", ["info", "--format=value(installation.sdk_root)"])
    return stdout.trim()
  } catch {
    return ""
  }
}
