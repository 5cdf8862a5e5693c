/** The result of provisioning: one step for each thing that a store needs. */
export interface ProvisioningReport {
  /** What was provisioned, `table cache` for example. */
  target: string
  steps: ProvisioningStep[]
}

export interface ProvisioningStep {
  /** The table, or a setting of it. */
  name: string
  outcome: ProvisioningOutcome
  /** What was found if it differs, and what to do about it. */
  detail?: string
}

/**
 * | outcome | meaning |
 * | --- | --- |
 * | `created` | did not exist, or was off; is now correct |
 * | `verified` | was correct; nothing was changed |
 * | `set` | is now correct; the previous state was not read |
 * | `differs` | is not correct; nothing was changed, because the owner has to decide |
 * | `unsupported` | the service, usually an emulator, does not support it |
 */
export type ProvisioningOutcome = "created" | "verified" | "set" | "differs" | "unsupported"
