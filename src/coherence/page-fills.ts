/** The keys of which a page under way must not fill L1: what it brings of them may be older than what was shown since. */
export type PageFill = Set<string>

/** The pages of scans under way whose entries may enter L1. */
export class PageFills {
  readonly #underWay = new Set<PageFill>()

  /** @param fill whether the page's entries may enter L1; if not, nothing has to be kept of it */
  begin(fill: boolean): PageFill {
    const page: PageFill = new Set()
    if (fill) this.#underWay.add(page)
    return page
  }

  end(page: PageFill): void {
    this.#underWay.delete(page)
  }

  /** `key` was written, or shown by another read. */
  dirty(key: string): void {
    for (const page of this.#underWay) page.add(key)
  }
}
