/**
 * What happens to one write: nothing; it fails; it is lost; it is applied, and its reply is lost; its reply is lost, and it is applied later; it is
 * applied, and a copy of it arrives later; it is not answered, and not applied, or applied, or applied later; it is answered slowly; of a
 * batch, some keys fail, applied or not.
 */
export const WRITE_FAULTS = [
  "fail",
  "drop",
  "loseReply",
  "landLate",
  "echo",
  "hang",
  "hangApplied",
  "hangLate",
  "slow",
  "partial",
] as const
export type WriteFault = "pass" | (typeof WRITE_FAULTS)[number]
/** What happens to one read; of a batch, some keys fail alone. */
export const READ_FAULTS = ["fail", "hang", "slow", "partial"] as const
export type ReadFault = "pass" | (typeof READ_FAULTS)[number]

export interface Faults {
  readonly writes: readonly WriteFault[]
  readonly reads: readonly ReadFault[]
}
