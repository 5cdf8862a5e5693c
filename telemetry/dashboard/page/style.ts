/** The page's style sheet. Its colours are told apart by people who see no red or no green, and stand out at 3:1 or more. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #f4f5f7; --card: #fff; --sunk: #f4f5f7; --edge: #dfe3e8; --grid: #e9ecf0;
  --text: #161b22; --soft: #586170; --accent: #1a6fd6;
  --l1-hit: #1a6fd6; --l1-absent: #4b97dd; --joined: #a96c00; --l2-hit: #0b8460; --l2-absent: #77808d;
  --written: #a8467f; --error: #c8320b; --warning: #8f5b00; --plain: #586170;
  --error-ground: #fdf0ec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0d1117; --card: #151b23; --sunk: #0d1117; --edge: #2a323d; --grid: #232b36;
    --text: #e8ecf1; --soft: #9aa5b3; --accent: #63a8ff;
    --l1-hit: #4a97f5; --l1-absent: #8cc4ff; --joined: #e0a63c; --l2-hit: #2fbf93; --l2-absent: #8791a0;
    --written: #de8bbd; --error: #ff7c57; --warning: #e0a63c; --plain: #9aa5b3;
    --error-ground: #2a1713;
  }
}
.l1-hit { --c: var(--l1-hit) } .l1-absent { --c: var(--l1-absent) } .joined { --c: var(--joined) }
.l2-hit { --c: var(--l2-hit) } .l2-absent { --c: var(--l2-absent) } .written { --c: var(--written) }
.error { --c: var(--error) } .plain { --c: var(--plain) }

* { box-sizing: border-box; margin: 0; padding: 0 }
[hidden] { display: none !important }
html { background: var(--ground); color: var(--text); -webkit-text-size-adjust: 100% }
body {
  font: 14px/1.45 Inter, ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; max-width: 1320px; margin: 0 auto; padding: 0 20px;
  min-height: 100vh; display: flex; flex-direction: column;
}
code, pre, .backend { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
main { flex: 1 }
.skip { position: absolute; left: -999px }
.skip:focus { left: 20px; top: 8px; background: var(--card); padding: 8px 12px; z-index: 2 }

.top { display: flex; align-items: center; gap: 8px 16px; flex-wrap: wrap; padding: 16px 0 14px }
.brand { display: flex; align-items: center; gap: 10px }
.mark-l1 { fill: var(--l1-hit) } .mark-l2 { fill: var(--l2-hit) }
h1 { font-size: 18px; font-weight: 650; letter-spacing: -.01em }
#state { display: flex; align-items: center; gap: 8px; font-weight: 550 }
#state::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: var(--l2-hit) }
#state[data-state=paused]::before { background: none; border-left: 3px solid var(--soft); border-right: 3px solid var(--soft); border-radius: 0 }
#state[data-state=trouble], #state[data-state=lost] { color: var(--error) }
#state[data-state=trouble]::before, #state[data-state=lost]::before {
  width: 0; height: 0; border-radius: 0; background: none;
  border: 6px solid transparent; border-top: 0; border-bottom: 10px solid var(--error);
}
#updated { color: var(--soft); margin-left: auto }
button {
  font: inherit; color: var(--text); background: var(--card); border: 1px solid var(--edge);
  border-radius: 7px; padding: 5px 14px; min-height: 32px; cursor: pointer;
}
button:hover { border-color: var(--soft) }

#processes { background: var(--card); border: 1px solid var(--edge); border-radius: 12px; padding: 14px 18px; margin-bottom: 16px }
#processes h2 { font-size: 13px; font-weight: 600; color: var(--soft); margin-bottom: 4px }
#process-list { list-style: none }
#process-list li { display: flex; flex-wrap: wrap; gap: 2px 12px; align-items: baseline; padding: 4px 0; overflow-wrap: anywhere }
#process-list b { font-weight: 550 }
#process-list span { color: var(--soft) }
#process-list li::before { content: "✓"; color: var(--l2-hit); font-weight: 700; width: 12px }
#process-list .silent::before { content: "✕"; color: var(--error) }
#process-list .silent span { color: var(--error) }

#store-list ul { list-style: none; display: flex; flex-wrap: wrap; gap: 8px; margin-bottom: 16px }
#store-list a {
  display: flex; gap: 10px; align-items: baseline; padding: 6px 14px; border-radius: 9px; color: var(--text);
  background: var(--card); border: 1px solid var(--edge); text-decoration: none; max-width: 100%; overflow-wrap: anywhere;
}
#store-list a:hover { border-color: var(--soft) }
#store-list b { font-weight: 600 }
#store-list span { color: var(--soft); font-size: 12.5px; white-space: nowrap }
#store-list a.failing { border-color: var(--error) }
#store-list a.failing b, #store-list a.failing span { color: var(--error) }
#store-list a.failing b::before { content: "▲ " }
h2 { scroll-margin-top: 16px }

.store { background: var(--card); border: 1px solid var(--edge); border-radius: 12px; margin-bottom: 16px; overflow: hidden }
.store[data-state=failing] { border-color: var(--error); box-shadow: inset 4px 0 var(--error) }
.store > header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; padding: 14px 20px 12px }
.store h2 { font-size: 17px; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere }
.backend { font-size: 12.5px; color: var(--soft); overflow-wrap: anywhere; flex: 1 1 200px }
.conditions { list-style: none; display: flex; flex-wrap: wrap; gap: 6px; font-size: 12.5px }
.conditions li { border: 1px solid var(--edge); border-radius: 99px; padding: 1px 10px; color: var(--soft) }
.conditions .failing { color: var(--error); border-color: var(--error); background: var(--error-ground); font-weight: 600 }
.conditions .failing::before { content: "▲ " }
.conditions .warning { color: var(--warning); border-color: var(--warning) }
.conditions .closed { border-style: dashed }

.figures { display: grid; grid-template-columns: repeat(5, 1fr); border-block: 1px solid var(--edge) }
.figure { padding: 12px 20px; border-left: 1px solid var(--edge); min-width: 0 }
.figure:first-child { border-left: 0 }
h3 { font-size: 12.5px; font-weight: 550; color: var(--soft) }
.figure .value { font-size: 25px; line-height: 1.25; font-weight: 600; letter-spacing: -.02em; white-space: nowrap }
.figure .since { font-size: 12px; color: var(--soft); white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
.figure[data-alarm=true] { background: var(--error-ground) }
.figure[data-alarm=true] .value, .figure[data-alarm=true] h3 { color: var(--error) }
.spark { display: block; width: 100%; height: 30px; margin: 4px 0 }

.panels { display: grid; grid-template-columns: 1fr 1fr }
.panel { padding: 14px 20px 16px; min-width: 0; border-top: 1px solid var(--edge) }
.panel:nth-child(-n+2) { border-top: 0 }
.panel:nth-child(even) { border-left: 1px solid var(--edge) }
.wide { grid-column: 1 / -1 }
.title { display: flex; justify-content: space-between; gap: 12px; margin-bottom: 6px }
.title h3 { font-size: 13px; font-weight: 600; color: var(--text) }
.unit { font-weight: 400; color: var(--soft); margin-left: 5px }
.moment { font-size: 12.5px; color: var(--soft); white-space: nowrap }
.note { font-size: 12px; color: var(--soft); margin-top: 6px }

.plot { touch-action: pan-y; cursor: crosshair }
.plot svg { display: block; overflow: visible }
.area { fill: var(--c); opacity: .2 }
.area.error { opacity: .55 }
.line { fill: none; stroke: var(--c); stroke-width: 1.6; stroke-linejoin: round; stroke-linecap: round; vector-effect: non-scaling-stroke }
.grid line { stroke: var(--grid); shape-rendering: crispEdges }
.labels text { fill: var(--soft); font-size: 11px; paint-order: stroke; stroke: var(--card); stroke-width: 3px }
.foot { vector-effect: non-scaling-stroke }
.foot { stroke: var(--grid) }
.cursor { stroke: var(--text); stroke-dasharray: 3 3 }
.cursor.off { display: none }
.times { display: flex; justify-content: space-between; font-size: 11px; color: var(--soft); margin: 2px 0 8px }

table { width: 100%; border-collapse: collapse; font-size: 13px }
th, td { padding: 3px 0 3px 12px; text-align: right; font-weight: 400; white-space: nowrap }
th:first-child { padding-left: 0 }
thead th { color: var(--soft); font-size: 12px; border-bottom: 1px solid var(--edge) }
.text { text-align: left; white-space: normal }
tbody tr + tr > * { border-top: 1px solid var(--grid) }
.swatch::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px; background: var(--c); margin-right: 8px }
[data-zero=true] { color: var(--soft) }

.meter { margin: 6px 0 10px }
.meter .line { display: flex; justify-content: space-between; font-size: 13px; margin-bottom: 4px }
.track { height: 6px; border-radius: 3px; background: var(--grid); overflow: hidden }
.bar { height: 100%; background: var(--l1-hit); border-radius: 3px }
.meter + .meter + .note { margin-bottom: 10px }

summary { cursor: pointer; font-size: 13px; font-weight: 600; min-height: 24px }
.scroll { overflow-x: auto; margin-top: 8px }

.empty { background: var(--card); border: 1px solid var(--edge); border-radius: 12px; max-width: 720px; margin: 7vh auto 0; padding: 28px 32px }
.empty h1, .empty h2 { font-size: 20px; font-weight: 650; letter-spacing: -.01em; margin-bottom: 8px }
.empty p { color: var(--soft); margin: 10px 0 }
pre { background: var(--sunk); border: 1px solid var(--edge); border-radius: 8px; padding: 12px 14px; font-size: 12.5px; line-height: 1.6; overflow-x: auto }
form { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 16px 0 }
input { font: inherit; color: var(--text); background: var(--sunk); border: 1px solid var(--soft); border-radius: 7px; padding: 5px 10px; min-height: 32px; flex: 1 1 160px }
footer { color: var(--soft); font-size: 12px; padding: 8px 2px 20px; display: flex; flex-wrap: wrap; gap: 2px 24px; justify-content: space-between }

@media (max-width: 900px) {
  .figures { grid-template-columns: repeat(6, 1fr) }
  .figure { grid-column: span 2 }
  .figure:nth-child(n+4) { grid-column: span 3; border-top: 1px solid var(--edge) }
  .figure:nth-child(4) { border-left: 0 }
  .panels { grid-template-columns: 1fr }
  .panel:nth-child(even) { border-left: 0 }
  .panel:nth-child(2) { border-top: 1px solid var(--edge) }
}
@media (max-width: 560px) {
  body { padding: 0 10px }
  #pause { margin-left: auto }
  #updated { order: 1; flex-basis: 100%; margin: 0; font-size: 12px }
  .store > header, .figure, .panel { padding-left: 14px; padding-right: 14px }
  .backend { flex-basis: 100% }
  .figures { grid-template-columns: 1fr 1fr }
  .figure, .figure:nth-child(n+4) { grid-column: auto; border-top: 1px solid var(--edge) }
  .figure:nth-child(-n+2) { border-top: 0 }
  .figure:nth-child(odd) { border-left: 0 }
  .figure:nth-child(even) { border-left: 1px solid var(--edge) }
  .figure:nth-child(5) { grid-column: 1 / -1 }
  .figure .value { font-size: 22px }
  th, td { padding-left: 8px }
  .empty { padding: 20px 18px; margin-top: 8px }
}
@media (prefers-reduced-motion: no-preference) { .bar { transition: width .3s } }
@media (forced-colors: active) { .swatch::before, .bar, #state::before { forced-color-adjust: none } }
`
