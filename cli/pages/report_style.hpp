#pragma once

#include <string_view>

namespace headrace::cli {

/// The report's look: one column of cards, light and dark, narrow and wide, screen and paper.
/// Colours are told apart without hue too: the subject is strong and solid, what it is compared
/// with is grey and dashed.
inline constexpr std::string_view report_style = R"css(
:root {
  color-scheme: light dark;
  --paper: #f5f7f8; --card: #ffffff; --ink: #13202a; --soft: #566470; --hair: #dfe5e9; --grid: #e9edf0;
  --water: #0b63bd; --faint: #7fb0e3; --still: #6b7580; --gap: rgba(11, 99, 189, .10); --warn: #8a5a00;
  --warn-paper: #fff6e0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0e1418; --card: #151d23; --ink: #e6ecf0; --soft: #9dabb6; --hair: #29343c; --grid: #222c33;
    --water: #6bb5ff; --faint: #3f74a8; --still: #a3adb6; --gap: rgba(107, 181, 255, .13); --warn: #f0c674;
    --warn-paper: #2a2415;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);

  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main, footer { max-width: 1120px; margin: 0 auto; padding: 0 28px; }
header { padding: 40px 0 28px; }
.brand { display: flex; align-items: center; gap: 10px; margin: 0 0 22px; color: var(--soft); font-size: 14px; }
.brand svg { width: 26px; height: 26px; fill: none; stroke: var(--water); stroke-width: 1.8; stroke-linecap: round; }
.brand b { color: var(--ink); font-weight: 650; letter-spacing: .01em; }
h1 { margin: 0; font-size: clamp(28px, 5vw, 42px); line-height: 1.12; font-weight: 680; letter-spacing: -.022em; }
.lede { margin: 12px 0 0; max-width: 44em; color: var(--soft); font-size: 17px; }
.badges { display: flex; flex-wrap: wrap; gap: 8px; margin: 16px 0 0; padding: 0; list-style: none; }
.badges li {
  padding: 2px 11px; border: 1px solid var(--hair); border-radius: 99px; color: var(--soft); font-size: 13.5px;
}
.badges .warn { color: var(--warn); background: var(--warn-paper); border-color: transparent; }
section, .card { margin: 0 0 20px; }
.card { padding: 26px 28px; background: var(--card); border: 1px solid var(--hair); border-radius: 14px; }
h2 { margin: 0; font-size: 20px; line-height: 1.3; font-weight: 650; letter-spacing: -.01em; }
h3 { margin: 0; font-size: 16px; line-height: 1.35; font-weight: 650; }
.why { margin: 5px 0 0; max-width: 46em; color: var(--soft); font-size: 15px; }
.duel { display: flex; flex-wrap: wrap; gap: 18px 48px; margin: 22px 0 20px; }
.duel div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.duel dt { color: var(--soft); font-size: 14.5px; }
.duel dd {
  margin: 0; font-size: clamp(34px, 5.6vw, 58px); line-height: 1.08; font-weight: 640; letter-spacing: -.03em;
}
.duel .strong dd { color: var(--water); }
.duel .still dd { color: var(--still); font-weight: 500; }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 0; margin: 0 0 20px; padding: 20px 0; }
.tiles div {
  display: flex; flex-direction: column-reverse; justify-content: flex-end; padding: 2px 12px 2px 24px;
  border-left: 1px solid var(--hair);
}
.tiles div:first-child { border-left: 0; }
.tiles dt { color: var(--soft); font-size: 13.5px; line-height: 1.35; }
.tiles dd { margin: 0 0 2px; font-size: 23px; line-height: 1.25; font-weight: 620; letter-spacing: -.015em; }
.grid { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; margin: 16px 0 20px; }
.grid .card { margin: 0; padding: 20px 22px 14px; }
figure { margin: 0; }
figcaption { margin: 0 0 8px; }
.over { margin: 36px 0 0; }
.legend {
  display: flex; flex-wrap: wrap; gap: 3px 20px; margin: 5px 0 0; padding: 0; list-style: none;
  color: var(--soft); font-size: 14px;
}
.legend li { display: flex; align-items: center; gap: 8px; }
.legend svg { flex: none; overflow: visible; }
.chart { display: block; width: 100%; height: auto; overflow: visible; }
.chart.narrow { display: none; }
.chart text { fill: var(--soft); font-size: 13px; }
.chart.small text { font-size: 10.6px; }
.rule, .base, .mark path, .at path { fill: none; }
.chart .rule { stroke: var(--grid); stroke-width: 1; }
.chart .base { stroke: var(--hair); stroke-width: 1; }
.line { fill: none; stroke: var(--water); stroke-width: 2.6; stroke-linejoin: round; stroke-linecap: round; }
.small .line { stroke-width: 1.9; }
.line.faint { stroke: var(--faint); stroke-width: 1.5; }
.line.still { stroke: var(--still); stroke-width: 2; stroke-dasharray: 6 5; stroke-linecap: butt; }
.dot { fill: var(--water); stroke: var(--card); stroke-width: 1.5; }
.dot.faint { fill: var(--faint); }
.dot.still { fill: var(--still); }
.gap { fill: var(--gap); }
.band { fill: var(--water); opacity: .2; }
.band.still { fill: var(--still); }
.chart .end { font-weight: 650; fill: var(--water); }
.chart .end.still { fill: var(--still); }
.mark path { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 1.5 3.5; stroke-linecap: round; }
.at rect { fill: transparent; }
.at path, .at circle, .at text { visibility: hidden; }
.at:hover path, .at:hover circle, .at:hover text { visibility: visible; }
.at path { stroke: var(--soft); stroke-width: 1; }
.chart .at text { fill: var(--ink); white-space: pre; }
.nothing { margin: 18px 0 12px; color: var(--soft); }
.scroll { overflow-x: auto; margin: 14px 0 0; }
.scroll:focus-visible, summary:focus-visible {
  outline: 3px solid var(--water); outline-offset: 4px; border-radius: 4px;
}
table { width: 100%; border-collapse: collapse; font-size: 14.5px; }
caption { padding: 0 0 8px; color: var(--soft); text-align: left; }
th, td {
  padding: 7px 0 7px 18px; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap;
  overflow-wrap: normal; font-weight: 400; vertical-align: bottom;
}
th:first-child, td:first-child { padding-left: 0; }
thead th {
  color: var(--soft); font-size: 13px; line-height: 1.3; white-space: normal; border-bottom-color: var(--hair);
}
tbody tr:last-child th, tbody tr:last-child td { border-bottom: 0; font-weight: 650; }
.compare { max-width: 640px; }
.compare th:first-child { text-align: left; white-space: normal; }
.compare tbody tr:last-child th, .compare tbody tr:last-child td { font-weight: 400; }
.facts { display: grid; grid-template-columns: minmax(9em, 13em) 1fr; margin: 14px 0 0; font-size: 15px; }
.facts dt, .facts dd { margin: 0; padding: 8px 0; border-top: 1px solid var(--grid); }
.facts dt { padding-right: 20px; color: var(--soft); }
.facts dt:first-of-type, .facts dd:first-of-type { border-top: 0; }
.facts small, td small { color: var(--soft); font-size: 13.5px; }
.facts code { font: 14px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.notes { margin: 12px 0 0; padding: 0 0 0 1.15em; }
.notes li { margin: 5px 0; white-space: pre-line; }
summary { cursor: pointer; font-size: 20px; line-height: 1.3; font-weight: 650; letter-spacing: -.01em; }
footer { padding-top: 8px; padding-bottom: 44px; color: var(--soft); font-size: 14px; }
@media (max-width: 900px) {
  .chart.wide text { font-size: 16px; }
  .chart.small text { font-size: 13px; }
  .tiles { grid-template-columns: repeat(3, 1fr); row-gap: 18px; }
  .tiles div:nth-child(3n + 1) { border-left: 0; }
}
@media (max-width: 720px) {
  main, footer { padding-left: 14px; padding-right: 14px; }
  header { padding: 26px 4px 22px; }
  .card { padding: 20px 18px; border-radius: 12px; }
  .grid { grid-template-columns: 1fr; gap: 14px; }
  .grid .card { padding: 18px 14px 12px 16px; }
  .tiles { grid-template-columns: 1fr 1fr; padding: 18px 0; }
  .tiles div, .tiles div:nth-child(3n + 1) { padding-left: 18px; border-left: 1px solid var(--hair); }
  .tiles div:nth-child(odd) { border-left: 0; }
  .duel { gap: 14px 34px; margin: 18px 0 16px; }
  .chart.wide { display: none; }
  .chart.narrow { display: block; }
  .facts { grid-template-columns: 1fr; }
  .facts dt { padding: 10px 0 0; }
  .facts dd, .facts dd:first-of-type { padding: 0 0 10px; border-top: 0; }
}
@media print {
  :root {
    --paper: #fff; --card: #fff; --ink: #000; --soft: #444; --hair: #bbb; --grid: #ddd; --water: #0b63bd;
    --faint: #7fb0e3; --still: #555; --gap: rgba(11, 99, 189, .10);
  }
  body { font-size: 12px; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  main, footer { max-width: none; padding: 0; }
  header { padding-top: 0; }
  .card, figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 10.5px; }
}
)css";

}  // namespace headrace::cli
