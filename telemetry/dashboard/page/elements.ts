type Attributes = Readonly<Record<string, string>>
type Child = Node | string

/** An HTML element: `h("p", { class: "note" }, "text")`. A string becomes text, never markup. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes,
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return complete(document.createElement(tag), attributes, children)
}

/** The same for SVG. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes,
  ...children: Child[]
): SVGElementTagNameMap[Tag] {
  return complete(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children)
}

function complete<Made extends Element>(element: Made, attributes: Attributes, children: Child[]): Made {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children)
  return element
}

/** The element of `page.html` with this id. */
export function at(id: string): HTMLElement {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no #${id}`)
  return element
}

/**
 * Sets the text of an element only if it differs: setting an equal text would drop the selection, and screen readers would
 * announce it again.
 */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** The same for an attribute. */
export function set(element: Element, attribute: string, value: string): void {
  if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value)
}
