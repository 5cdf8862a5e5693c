import { readFile } from "node:fs/promises"
import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"

/** Longest time that the service has to answer, ms; the SDK waits as long. */
const PATIENCE_MS = 1_000
const DEFAULT_ENDPOINT = "http://169.254.169.254"
const TOKEN_PATH = "/latest/api/token"
const ROLE_PATH = "/latest/meta-data/iam/security-credentials/"

/** The error of the SDK's default chain after its last source, the metadata service of an EC2 instance. It has no cause. */
export function isEndOfChain(error: Error): boolean {
  return error.message === "Could not load credentials from any providers"
}

let asking: Promise<boolean> | undefined

/**
 * Whether the metadata service of an EC2 instance may give credentials in a moment, though it gave the SDK none: it has a role now, or is
 * overloaded, or does not answer, where it is known to be there. Calls that fail together ask once.
 */
export function mayMetadataComeBack(runtime: Runtime): Promise<boolean> {
  asking ??= askMetadata(runtime).finally(() => {
    asking = undefined
  })
  return asking
}

async function askMetadata(runtime: Runtime): Promise<boolean> {
  const { AWS_EC2_METADATA_DISABLED: disabled, AWS_EC2_METADATA_SERVICE_ENDPOINT: given } = process.env
  if (disabled?.toLowerCase() === "true") return false
  const endpoint = given || DEFAULT_ENDPOINT
  const cancel = new AbortController()
  const late = () => new SilentMetadata()
  try {
    return await within(runtime, hasRole(endpoint, cancel.signal), PATIENCE_MS, late)
  } catch (error) {
    return error instanceof SilentMetadata && (given !== undefined || (await isInstance()))
  } finally {
    cancel.abort()
  }
}

class SilentMetadata extends Error {}

async function hasRole(endpoint: string, signal: AbortSignal): Promise<boolean> {
  const headers = { "x-aws-ec2-metadata-token-ttl-seconds": "60" }
  const answer = await fetch(new URL(TOKEN_PATH, endpoint), { method: "PUT", headers, signal })
  if (!answer.ok) return isPassing(answer)
  const role = await fetch(new URL(ROLE_PATH, endpoint), {
    headers: { "x-aws-ec2-metadata-token": await answer.text() },
    signal,
  })
  return role.ok || isPassing(role)
}

function isPassing({ status }: Response): boolean {
  return status === 429 || status >= 500
}

/** Whether this machine is an EC2 instance, by its firmware. */
async function isInstance(): Promise<boolean> {
  try {
    return (await readFile("/sys/devices/virtual/dmi/id/sys_vendor", "utf8")).startsWith("Amazon EC2")
  } catch {
    return false
  }
}
