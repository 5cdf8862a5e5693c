/** Rows that one turn of the event loop may look at: about two milliseconds. */
export const ROWS_A_TURN = 1_000

/**
 * Lets the event loop go on after every {@link ROWS_A_TURN} rows of work that would otherwise never wait: timers fire and
 * sockets are read in between. It counts over calls, since pages that are read in a loop of `await` share one turn.
 */
export class TurnTaking {
  #rows = 0

  /** Counts one row; whether {@link TurnTaking.pass} is due before the next. */
  spent(): boolean {
    return ++this.#rows >= ROWS_A_TURN
  }

  /** Resolves in another turn of the event loop. */
  async pass(): Promise<void> {
    this.#rows = 0
    await process.getBuiltinModule("node:timers/promises").setImmediate()
  }
}
