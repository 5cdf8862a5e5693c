import { chartsOf } from "./charts.ts"
import { elementsOf } from "./elements.ts"
import { formats } from "./format.ts"
import { histories } from "./history.ts"
import { listsOf } from "./lists.ts"
import { main } from "./main.ts"
import { MARKUP } from "./markup.ts"
import { measures } from "./measures.ts"
import { storePanels } from "./store-panels.ts"
import { storeViews } from "./store-view.ts"
import { STYLE } from "./style.ts"

export { STYLE }

const PARTS = { formats, histories, elementsOf, chartsOf, measures, listsOf, storePanels, storeViews }

/** The page's script: the text of the functions that make it up, without their indentation. */
export const SCRIPT = withoutIndentation(`"use strict"
// Bundlers that keep the names of functions call this within them.
const __name = (value) => value
;(${main})(document, {
${Object.entries(PARTS)
  .map(([name, part]) => `${name}: ${part}`)
  .join(",\n")}
})`)

const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 28 28'%3E%3Crect x='5' y='3' width='18' height='8' rx='2.5' fill='%231a6fd6'/%3E%3Crect x='2' y='14' width='24' height='11' rx='2.5' fill='%2312936c'/%3E%3C/svg%3E"

/** The page as a whole: nothing else is fetched but its numbers. */
export const DOCUMENT = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>tiered-kv</title>
<link rel="icon" href="${ICON}">
<style>${STYLE}</style>
</head>
<body>${MARKUP}<script>${SCRIPT}</script></body>
</html>
`

function withoutIndentation(text: string): string {
  return text.replace(/^\s+/gm, "")
}
