"""The style sheet of report.html."""

from __future__ import annotations

__all__ = ["CSS"]

CSS = """
:root {
  color-scheme: light dark;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  --paper: #ffffff; --page: #f5f6f8; --ink: #1c2530; --muted: #5b6672; --line: #dfe3e8;
  --mark: #e8f2fa; --network: #0072b2; --control: #d55e00; --shallow: #009e73;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #171c22; --page: #0f1317; --ink: #e6eaef; --muted: #9aa6b2; --line: #2b333c;
    --mark: #1a2f40; --network: #56b4e9; --control: #f0883e; --shallow: #2fc79a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--font); }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: clamp(1.15rem, 0.9rem + 1vw, 1.5rem); line-height: 1.45; font-weight: 500;
  margin: 6px 0 26px; max-width: 62em; text-wrap: pretty; }
h1 strong { font-weight: 680; }
h2 { font-size: 1.06rem; margin: 0 0 12px; font-weight: 650; }
p { margin: 0 0 10px; max-width: 75ch; }
.eyebrow { color: var(--muted); font-size: .86rem; margin: 0; overflow-wrap: anywhere; }
.note, figcaption { color: var(--muted); font-size: .86rem; line-height: 1.5; max-width: 80ch; }
.note { margin: 12px 0 0; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 22px 24px; margin: 0 0 18px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 0 0 18px; padding: 0; list-style: none; }
.tiles li { background: var(--paper); border: 1px solid var(--line); border-radius: 12px;
  padding: 14px 18px; }
.tiles span { display: block; color: var(--muted); font-size: .82rem; }
.tiles strong { display: block; font-size: 1.6rem; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 28px; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figcaption { margin-top: 8px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .93rem; }
th, td { padding: 7px 12px; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 600; font-size: .82rem; vertical-align: bottom;
  white-space: normal; }
thead th span { white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 2px; }
tbody th { font-weight: 450; }
td.small { font-weight: 650; }
td.small, th.small { background: var(--mark); }
td.change { color: var(--muted); }
tr.kept > * { background: var(--mark); font-weight: 650; }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
.key.network { background: var(--network); } .key.control { background: var(--control); }
.key.shallow { background: var(--shallow); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 0;
  font-size: .93rem; }
dl { align-content: start; }
dt { color: var(--muted); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--page); border: 1px solid var(--line); border-radius: 8px; margin: 0;
  padding: 12px 16px; overflow-x: auto; font: .86rem/1.6 var(--mono); }
code { font-family: var(--mono); font-size: .9em; }
summary { cursor: pointer; font-weight: 650; font-size: 1.06rem; }
details[open] summary { margin-bottom: 12px; }
footer { color: var(--muted); font-size: .82rem; text-align: center; }
@media (max-width: 780px) {
  main { padding: 22px 12px 40px; }
  section { padding: 16px 14px; border-radius: 10px; }
  .pair { grid-template-columns: minmax(0, 1fr); gap: 22px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
  .tiles li { padding: 10px 14px; } .tiles strong { font-size: 1.3rem; }
  table { font-size: .78rem; } th, td { padding: 6px 3px; } thead th { font-size: .74rem; }
  tbody th { white-space: normal; min-width: 5.2em; } table .key { display: none; }
  dl.long { grid-template-columns: 1fr; gap: 0; } dl.long dd { margin: 0 0 6px; }
}
@media print {
  body { background: #fff; font-size: 11pt; } main { max-width: none; padding: 0; }
  section, .tiles li { border-color: #ccc; break-inside: avoid; }
  pre { white-space: pre-wrap; } .scroll { overflow: visible; }
}
"""
