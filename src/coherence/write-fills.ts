/** A write under way whose value may enter L1. */
export interface WriteFill {
  /** Since the write began, the key was written, invalidated or read otherwise. */
  dirty: boolean
}

/** The writes under way whose values may enter L1: those of keys that L1 held, at most one a key. */
export class WriteFills {
  readonly #underWay = new Map<string, WriteFill>()

  /** Is called when the write has dirtied its key. */
  begin(key: string): WriteFill {
    const fill = { dirty: false }
    this.#underWay.set(key, fill)
    return fill
  }

  /** Whether the value of the write that has ended may enter L1. Is called before the write dirties its key again. */
  end(key: string, fill: WriteFill): boolean {
    if (this.#underWay.get(key) === fill) this.#underWay.delete(key)
    return !fill.dirty
  }

  dirty(key: string): void {
    const fill = this.#underWay.get(key)
    if (fill === undefined) return
    fill.dirty = true
    this.#underWay.delete(key)
  }

  dirtyAll(): void {
    for (const fill of this.#underWay.values()) fill.dirty = true
    this.#underWay.clear()
  }
}
