/** What provisioning found and did: one step for each thing that a store needs. */
export interface ProvisioningReport {
  /** What was provisioned: `table cache`, … */
  target: string
  steps: ProvisioningStep[]
}

export interface ProvisioningStep {
  /** The table, or the setting of it. */
  name: string
  outcome: ProvisioningOutcome
  /** What was found where it differs, and what to do about it. */
  detail?: string
}

/**
 * | outcome | meaning |
 * | --- | --- |
 * | `created` | was not there, or was off, and is now as it should be |
 * | `verified` | was as it should be; nothing was done |
 * | `set` | is as it should be; what it was before was not looked at |
 * | `differs` | is not as it should be, and is the owner's to change: nothing was done |
 * | `unsupported` | the service, an emulator usually, does not know of it |
 */
export type ProvisioningOutcome = "created" | "verified" | "set" | "differs" | "unsupported"
