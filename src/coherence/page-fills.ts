/** The keys that a page under way must not fill into L1, because callers may have seen newer values of them. */
export type PageFill = Set<string>

/** The pages of scans under way whose entries may enter L1. */
export class PageFills {
  readonly #underWay = new Set<PageFill>()

  /** @param fill whether the entries of the page may enter L1; if not, the page is not tracked */
  begin(fill: boolean): PageFill {
    const page: PageFill = new Set()
    if (fill) this.#underWay.add(page)
    return page
  }

  end(page: PageFill): void {
    this.#underWay.delete(page)
  }

  mayFill(page: PageFill, key: string): boolean {
    return this.#underWay.has(page) && !page.has(key)
  }

  /** Is called when `key` is written or invalidated, or when a read has returned it to a caller. */
  dirty(key: string): void {
    for (const page of this.#underWay) page.add(key)
  }

  /** Is called when everything is invalidated. */
  dirtyAll(): void {
    this.#underWay.clear()
  }
}
