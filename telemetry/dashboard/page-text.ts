import { bundlePage } from "./build/bundle.ts"

/**
 * The text of the page. A process that runs from source bundles the page when it imports this module. `npm run build`
 * replaces the compiled module by one that contains the text, so that the package needs no bundler and no further file.
 */
export const { MARKUP, STYLE, SCRIPT } = await bundlePage(new URL("page/", import.meta.url))
