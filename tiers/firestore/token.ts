import type { Runtime } from "../runtime.ts"
import { within } from "../util/deadline.ts"
import { isPassing } from "./errors.ts"
import type { GoogleAuth } from "./settings.ts"

/** Longest time to ask for a new access token, ms. */
const RENEWAL_MS = 1_000

/**
 * The access token that requests are sent with. Google's library renews it before it expires by the clock of this machine, but not where that
 * clock is wrong, the machine was suspended, or the token was revoked: then the service refuses it, and it has to be renewed.
 */
export class AccessToken {
  readonly #auth: GoogleAuth
  readonly #runtime: Runtime
  /** When a renewal last ended, monotonic ms. */
  #renewedAt = Number.NEGATIVE_INFINITY
  /** Whether the service has accepted the token since. */
  #wasAccepted = true
  #renewing: Promise<boolean> | undefined

  constructor(auth: GoogleAuth, runtime: Runtime) {
    this.#auth = auth
    this.#runtime = runtime
  }

  /** The service answered a request. */
  accepted(): void {
    this.#wasAccepted = true
  }

  /**
   * The service refused the token of a request that was sent at `sentAt`, monotonic ms. Whether another attempt may have one that it does not
   * refuse: not if the token is new, and was never accepted.
   */
  async refused(sentAt: number): Promise<boolean> {
    if (sentAt <= this.#renewedAt) return true
    if (!this.#wasAccepted) return false
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewedAt = this.#runtime.monotonic()
      this.#wasAccepted = false
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renew(): Promise<boolean> {
    const late = () => new Error("timed out")
    try {
      return await within(this.#runtime, this.#renewed(), RENEWAL_MS, late)
    } catch (error) {
      // There was a token, so that the failure to renew it may pass.
      return isPassing(error)
    }
  }

  async #renewed(): Promise<boolean> {
    const client = await this.#auth.getClient()
    const before = client.credentials.access_token
    client.setCredentials({ ...client.credentials, expiry_date: 1 })
    const { token } = await client.getAccessToken()
    return token !== before
  }
}
