"""`sluice trace` leaves a file for each process that Perfetto can draw, also of one that is killed, and tells of every migration why."""

import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tool_support import Tool
from trace_support import load, of_kind

CAUSES = {"host access", "launch", "device access", "prefetch", "eviction", "mapping", "lease", "coherence", "discard"}
STRESS = ["stress", "--devices", "2", "--threads", "4", "--working-set", "8MiB"]

tool = Tool()


def trace(folder, *command, status=0):
    """Runs a command of the tool below `sluice trace`, and gives back its traces."""
    ended = tool.run("trace", f"--trace={folder}/%p.json", "--", tool.path, *command, timeout=900)
    tool.expect(ended.returncode == status, f"{command}: {ended.returncode}: {ended.stderr}")
    return [load(path) for path in folder.iterdir()]


def expect_rules(what, complaints):
    tool.expect(not complaints, f"{what}: {complaints[:5]}")


with tempfile.TemporaryDirectory() as name:
    ((demo, complaints),) = trace(Path(name), "demo")
    expect_rules("the demo", complaints)
    process = int(next(Path(name).iterdir()).stem)
    tool.expect({event["pid"] for event in demo["traceEvents"]} == {process}, "the process id is not the process's")
    facts = demo["otherData"]
    tool.expect(facts["grade"] in ("full", "user", "signal"), f"the grade: {facts}")
    tool.expect(facts["sluice"] in tool.run("--version").stdout, f"the version: {facts}")
    moved = of_kind(demo, "Migration") + of_kind(demo, "ReadDuplicate")
    tool.expect({event["args"]["cause"] for event in moved} >= {"host access", "launch", "prefetch"}, "causes are missing")
    tool.expect(all(event["args"]["cause"] in CAUSES for event in moved), "a migration has no cause")
    kernels = of_kind(demo, "Kernel")
    tool.expect(len(kernels) == 10 and all(k["name"] == "copy" and k["dur"] > 0 for k in kernels), f"kernels: {kernels[:2]}")
    tool.expect(all("demo.cc:" in kernel["args"]["place"] for kernel in kernels), f"places: {kernels[0]['args']}")
    counters = [e["args"] for e in of_kind(demo, "Counter") if e["name"] == "bytes resident"]
    tool.expect(counters and all({"host", "device 0", "device 1"} == set(c) for c in counters), f"counters: {counters}")
    if facts["grade"] != "signal":
        faults = of_kind(demo, "CpuFault")
        tool.expect(any("sluice+0x" in fault["args"].get("code", "") for fault in faults), "no access tells its instruction")
        flows = [e for e in demo["traceEvents"] if e["ph"] == "f"]
        tool.expect(len(flows) > len(kernels), "no access flows to its grant")

seconds = os.environ.get("SLUICE_TRACE_SECONDS", "2")  # 300 for the run of which docs/observe.md tells
with tempfile.TemporaryDirectory() as name:
    spaces = trace(Path(name), *STRESS, "--seconds", seconds)  # a long one opens several
    for stress, complaints in spaces:
        expect_rules("a stress", [c for c in complaints if "flow" not in c])  # what the end of the process cuts off has no end
    events = sum(len(stress["traceEvents"]) for stress, _ in spaces)
    tool.expect(events > 100, f"only {events} events")

# Killed in the midst of it, several times, because it may be in the midst of writing.
for attempt in range(3):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "trace.json"
        killed = subprocess.Popen(
            [tool.path, *STRESS, "--seconds", "300"], env={**os.environ, "SLUICE_TRACE": str(path)}, stdout=subprocess.DEVNULL
        )
        size = 100_000 * (attempt + 1)
        while killed.poll() is None and not (path.exists() and path.stat().st_size > size):
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        try:
            document, complaints = load(path)
            tool.expect(len(document["traceEvents"]) > 100, f"killed: {len(document['traceEvents'])} events")
            expect_rules("killed", [c for c in complaints if "flow" not in c])
        except json.JSONDecodeError as error:
            tool.expect(False, f"the trace of a killed process: {error}")

# One that is not closed, but ends: nothing of it is missing. And names that nobody asked for.
with tempfile.TemporaryDirectory() as name:
    ended = subprocess.run([tool.path, "trace", "--", tool.path, "demo"], cwd=name, stdout=subprocess.DEVNULL)
    names = [path.name for path in Path(name).iterdir()]
    tool.expect(len(names) == 1 and names[0].startswith("sluice.") and names[0].endswith(".json"), f"without a name: {names}")
tool.conclude()
