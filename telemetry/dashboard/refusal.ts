import { STYLE } from "./page-text.ts"

/** What a request that is not admitted is told. `token` offers a field to type one into. */
export function refusalDocument(reason: string, token: boolean): string {
  const remedy = token
    ? `<form method="get"><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required>
<button type="submit">Show the page</button></form>
<p class="note">A program sends it along as <code>Authorization: Bearer …</code>.</p>`
    : `<p>Without a token, the dashboard answers to the machine that it runs on alone, under the name localhost or 127.0.0.1.
Give it one, <code>dashboard({ token })</code> or <code>tiered-kv dashboard --token</code>, and it answers whoever brings that.</p>`
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>tiered-kv</title>
<style>${STYLE}</style>
<main><section class="empty"><h1>Not for everybody</h1><p>${reason}.</p>${remedy}</section></main>
</html>
`
}
