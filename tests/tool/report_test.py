"""`sluice report` names what a program does to no purpose, the line that does it, and what to write instead; its figures are the trace's."""

import json
import sys
import tempfile
from pathlib import Path

from report_support import line_of, trace_costly
from tool_support import Tool

# The kind, the range, words of the advice, and whether the host's line can be told: in grade signal no access tells its instruction.
PLANTED = [
    ("ping-pong", "residual", ".reads(residual)"),
    ("false sharing", "mixed", "a range of their own"),
    ("over-fetch", "table", ".reads(table + first, bytes)"),
    ("forgotten prefetch", "field", "space.prefetch(field, Location::device("),
]

tool = Tool()
source = sys.argv[1]


def find(report, kind, name):
    found = [each for each in report["findings"] if each["kind"] == kind and each["range"] == name]
    tool.expect(len(found) == 1, f"{kind} of {name}: {len(found)} findings among {[(f['kind'], f['range']) for f in report['findings']]}")
    return found[0] if found else {"host": "", "launch": "", "advice": "", "text": ""}


with tempfile.TemporaryDirectory() as folder:
    trace = trace_costly(tool, folder)
    report = tool.json("report", "--json", trace)
    for kind, name, advice in PLANTED:
        found = find(report, kind, name)
        tool.expect(advice in found["advice"], f"the advice on {name}: {found['advice']}")
        tool.expect(line_of(source, f"launch: {name}") in found["launch"], f"the launch of {name}: {found['launch']}")
        if report["grade"] != "signal":
            tool.expect(found["host"].startswith(line_of(source, f"host: {name}")), f"the host's line of {name}: {found['host']}")
    of_planted = {name for _, name, _ in PLANTED}
    for each in report["findings"]:
        tool.expect(each["range"] in of_planted, f"found without being planted: {each}")

    # The trace's own figures.
    events = json.loads(trace.read_text())["traceEvents"]
    moved = [e for e in events if e.get("cat") in ("Migration", "ReadDuplicate")]
    tool.expect(report["bytes_moved"] == sum(e["args"]["size"] for e in moved), "the bytes that moved are not the trace's")
    tool.expect(sum(flow["count"] for flow in report["flows"]) == len(moved), "the copies are not the trace's")
    for kind in ("CpuFault", "Launch", "Kernel"):
        count = sum(e.get("cat") == kind for e in events)
        tool.expect(report["events"].get(kind) == report["latency"][kind]["count"] == count, f"{kind}: {count} in the trace")

    # The page needs nothing else, and says what the command says.
    page = Path(folder) / "page.html"
    ended = tool.run("report", "--output", page, trace)
    tool.expect(ended.returncode == 0 and str(page) in ended.stdout, f"report: {ended.returncode}: {ended.stdout}{ended.stderr}")
    text = page.read_text()
    tool.expect("<link rel=\"stylesheet\"" not in text and "src=" not in text, "the page loads something")
    tool.expect(all(kind in ended.stdout for kind, _, _ in PLANTED), f"the findings are not printed: {ended.stdout}")

    # A line that a killed process left half is counted, and the rest is used.
    trace.write_text(trace.read_text()[:-40])
    cut = tool.json("report", "--json", trace)
    tool.expect(cut["unreadable_lines"] == 1 and len(cut["findings"]) == len(report["findings"]), f"cut off: {cut['unreadable_lines']}")
    trace.write_text('{"traceEvents": []}')
    for wrong in (trace, Path(folder) / "nothing.json"):
        ended = tool.run("report", wrong)
        tool.expect(ended.returncode == 3 and wrong.name in ended.stderr, f"{wrong}: {ended.returncode}: {ended.stderr}")

    # Strict mode's findings are among them.
    strict = tool.json("report", "--json", trace_costly(tool, folder, "--strict", argument=["unnamed"]))
    hidden = find(strict, "not named (strict mode)", "hidden")
    tool.expect(line_of(source, "launch: hidden") in hidden["launch"] and ".reads(hidden)" in hidden["advice"], f"strict mode: {hidden}")
tool.conclude()
