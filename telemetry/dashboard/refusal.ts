import { STYLE } from "./page-text.ts"

/** The page for a request that is not admitted. `token` adds a form for a token. */
export function refusalDocument(reason: string, token: boolean): string {
  const remedy = token
    ? `<form method="get"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required>
<button type="submit">Show the page</button></form>
<p class="note">A program sends it as <code>Authorization: Bearer …</code>.</p>`
    : `<p>Without a token, the dashboard answers only requests from its own machine, to localhost or 127.0.0.1.
With one, <code>dashboard({ token })</code> or <code>tiered-kv dashboard --token</code>, it answers every request that carries the token.</p>`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>tiered-kv</title>
<style>${STYLE}</style>
<main><section class="empty"><h1>Access refused</h1><p>${reason}.</p>${remedy}</section></main>
</html>
`
}
