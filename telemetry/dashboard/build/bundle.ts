import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { build } from "rolldown"

/** The files of the page as text, by the names that `page-text.ts` exports them under. */
export interface PageText {
  /** `page.html`. It refers to the other two. */
  readonly MARKUP: string
  /** `style.css`. */
  readonly STYLE: string
  /** `main.ts` and all that it imports, as one classic script. */
  readonly SCRIPT: string
}

/** Reads `page.html` and `style.css` and bundles `main.ts`, all in this folder. Needs the development dependencies. */
export async function bundlePage(folder: URL): Promise<PageText> {
  const path = (name: string) => fileURLToPath(new URL(name, folder))
  const { output } = await build({
    input: path("main.ts"),
    write: false,
    platform: "browser",
    output: { format: "iife", strict: true, minify: true },
  })
  const SCRIPT = output[0].code.trim()
  // Either would end or open an element within the page's <script>.
  if (/<\/script|<!--/i.test(SCRIPT)) throw new Error("main.ts may contain neither </script nor <!--")
  const [MARKUP, STYLE] = await Promise.all([
    readFile(path("page.html"), "utf8"),
    readFile(path("style.css"), "utf8"),
  ])
  return { MARKUP, STYLE, SCRIPT }
}
