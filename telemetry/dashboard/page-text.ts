import { bundlePage } from "./build/bundle.ts"

/**
 * The text of the page. A process that runs from source makes it as it imports this module. `npm run build` replaces the compiled module by
 * one that holds the text itself, so that the package needs no bundler and no file beside it.
 */
export const { MARKUP, STYLE, SCRIPT } = await bundlePage(new URL("page/", import.meta.url))
