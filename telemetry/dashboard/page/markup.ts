/** The body of the page; the script fills it in. */
export const MARKUP = `
<a class="skip" href="#stores">Skip to the stores</a>
<header class="top">
  <div class="brand">
    <svg viewBox="0 0 28 28" width="28" height="28" aria-hidden="true">
      <rect x="5" y="3" width="18" height="8" rx="2.5" class="mark-l1"/>
      <rect x="2" y="14" width="24" height="11" rx="2.5" class="mark-l2"/>
    </svg>
    <h1>tiered-kv</h1>
  </div>
  <p id="state" role="status" data-state="live">Connecting</p>
  <p id="updated"></p>
  <button id="pause" type="button">Pause</button>
</header>
<main>
  <noscript><p class="panel">This page draws its numbers with JavaScript, which is turned off here. They are in <a href="stats.json">stats.json</a>.</p></noscript>
  <section id="processes" aria-labelledby="processes-title" hidden>
    <h2 id="processes-title">Processes</h2>
    <ul id="process-list"></ul>
  </section>
  <section id="no-process" class="empty" hidden>
    <h2>No process to show yet</h2>
    <p>Each process shows its own stores. Mount the dashboard where yours are open:</p>
    <pre tabindex="0"><code>import { createServer } from "node:http"
import { dashboard, nodeListener } from "tiered-kv/dashboard"

createServer(nodeListener(dashboard())).listen(7438, "127.0.0.1")</code></pre>
    <p>Then open its address in the browser, or give the addresses of several processes to one page:</p>
    <pre tabindex="0"><code>tiered-kv dashboard http://127.0.0.1:7438/ http://127.0.0.1:7439/</code></pre>
  </section>
  <section id="no-store" class="empty" hidden>
    <h2>No store is open</h2>
    <p>A store appears here as soon as the process opens it, and leaves some minutes after it was closed:</p>
    <pre tabindex="0"><code>import { kv } from "tiered-kv"

const cache = await kv("cache")</code></pre>
  </section>
  <nav id="store-list" aria-label="Stores" hidden><ul id="store-links"></ul></nav>
  <div id="stores" tabindex="-1"></div>
</main>
<footer>
  <p>Numbers of all processes added up. A request is a key: a batch of ten is ten requests. No key and no value is shown.</p>
  <p>Point at a chart, or move along it with the arrow keys, to read a moment of the last five minutes.</p>
</footer>
`
