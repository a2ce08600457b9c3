// The page's style: light and dark by the reader's choice, one column on a phone.

#include "report/page_parts.hpp"

namespace sluice::tool::report {

const std::string_view page_style = R"css(
:root {
  --ground: #f7f7f5; --card: #ffffff; --ink: #1d2025; --soft: #5c626d; --line: #dfe1e5; --accent: #0b6bcb;
  --tip: #eef5fd; --tip-ink: #0a3a6b; --warn: #9a4b00; --empty: #ececea;
  --l0: #d97706; --l1: #2563eb; --l2: #7c3aed; --l3: #059669; --l4: #db2777; --l5: #0891b2; --l6: #65a30d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14161a; --card: #1d2026; --ink: #e8eaee; --soft: #a2a9b5; --line: #343944; --accent: #6cb2ff;
    --tip: #16283c; --tip-ink: #cfe5ff; --warn: #ffb066; --empty: #262a31;
    --l0: #f5a742; --l1: #6ea0ff; --l2: #b18cff; --l3: #3ecf9a; --l4: #f472b6; --l5: #4cc9e6; --l6: #a3d94a;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 24px; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 4px; }
.sub, .note { color: var(--soft); margin: 2px 0 12px; }
.note { font-size: 13.5px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; margin: 18px 0 0; }
.card, .panel, .finding { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.card { padding: 10px 14px; }
.card b { display: block; font-size: 21px; font-weight: 650; font-variant-numeric: tabular-nums; white-space: nowrap; }
.card span { color: var(--soft); font-size: 13px; }
.card.warn b { color: var(--warn); }
.panel { padding: 14px; overflow-x: auto; }
.finding { padding: 14px 16px; margin: 0 0 10px; }
.finding h3 { margin: 0 0 4px; font-size: 15.5px; display: flex; flex-wrap: wrap; gap: 8px; align-items: center; overflow-wrap: anywhere; }
.badge { font-size: 12px; font-weight: 600; border: 1px solid currentColor; border-radius: 999px; padding: 1px 9px; color: var(--warn); white-space: nowrap; }
.cost { color: var(--soft); font-weight: 400; font-size: 13.5px; margin-left: auto; }
.finding p { margin: 4px 0; }
.advice { background: var(--tip); color: var(--tip-ink); border-radius: 8px; padding: 8px 12px; margin: 8px 0 0 !important; }
dl.places { display: grid; grid-template-columns: max-content 1fr; gap: 1px 12px; margin: 8px 0 0; font-size: 13.5px; }
dl.places dt { color: var(--soft); }
dl.places dd { margin: 0; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12.5px; overflow-wrap: anywhere; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 0 0 10px; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
svg { display: block; }
svg text { fill: var(--ink); font-size: 12px; font-family: inherit; }
svg text.soft { fill: var(--soft); }
svg line { stroke: var(--line); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 10px; }
.columns h3 { margin: 0; font-size: 14px; }
.columns .note { margin: 0 0 8px; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 110px; }
tr:last-child td { border-bottom: 0; }
footer { margin-top: 36px; color: var(--soft); font-size: 13px; }
@media (max-width: 560px) {
  main { padding: 16px 12px 32px; }
  h1 { font-size: 20px; }
  .cards { grid-template-columns: 1fr 1fr; }
  .cost { margin-left: 0; width: 100%; }
  .panel { padding: 12px 10px; }
  th, td { padding: 5px 5px; }
}
)css";

}  // namespace sluice::tool::report
