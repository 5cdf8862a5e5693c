/** What the page's script uses of a browser, so that it is checked without the types of all of it. */

export interface PageDocument {
  title: string
  createElement(tag: string): PageElement
  createElementNS(namespace: string, tag: string): PageElement
  getElementById(id: string): PageElement | null
}

export interface PageElement {
  textContent: string | null
  hidden: boolean
  open?: boolean
  readonly style: { width: string }
  append(...children: (PageElement | string)[]): void
  replaceChildren(...children: PageElement[]): void
  remove(): void
  setAttribute(name: string, value: string): void
  getAttribute(name: string): string | null
  getBoundingClientRect(): { left: number; width: number; height: number }
  addEventListener(type: string, listener: (event: PageEvent) => void): void
}

export interface PageEvent {
  readonly clientX: number
  readonly key: string
  preventDefault(): void
}
