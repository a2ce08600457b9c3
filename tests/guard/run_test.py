"""`sluice run`: the guard is found and preloaded, the program is the process itself, and a trace is written."""

import json
import signal
import tempfile
from pathlib import Path

from guard_support import BUILD, PROGRAMS, Complaints, run

complaints = Complaints()
sluice = BUILD / "bin" / "sluice"
steps = PROGRAMS / "guard-steps"


def check(what, ended, status, text=""):
    complaints.expect(ended.returncode == status and text in ended.stdout + ended.stderr, f"{what}: {ended}")


check("a driver by name", run(sluice, "run", "--guard", "--driver", "libstand-in", "--", steps, "handler"), 0, "step 5")
check("the first handler", run(sluice, "run", "--guard", "--first", "--", steps, "handler"), 0, "step 5")
check("no guard, no rescue", run(sluice, "run", "--", steps, "handler"), 1, "FAILED")
check("the program's status", run(sluice, "run", "--", "sh", "-c", "exit 7"), 7)
check("the program's signal", run(sluice, "run", "--guard", "--", "sh", "-c", "kill -SEGV $$"), -signal.SIGSEGV)
check("UCX", run(sluice, "run", "--guard", "--", "sh", "-c", "echo $UCX_HANDLE_ERRORS"), 0, "none")
check("UCX, as the user has it", run(sluice, "run", "--guard", "--", "sh", "-c", "echo $UCX_HANDLE_ERRORS", UCX_HANDLE_ERRORS="bt"), 0, "bt")
check("no such program", run(sluice, "run", "--", "/nonexistent/program"), 3, "/nonexistent/program")
check("no program", run(sluice, "run", "--guard"), 2)
check("the demo in grade signal", run(sluice, "run", "--guard", "--", sluice, "demo", "--grade", "signal"), 0, "demo: PASS")
measured = run(sluice, "bench", "faults", "--source", "signal", "--rounds", "1", "--json")
cases = {result["case"] for result in json.loads(measured.stdout or '{"results": []}')["results"]}
complaints.expect({"fault_4k", "handler_round_trip"} <= cases, f"bench in grade signal: {measured}")
with tempfile.TemporaryDirectory() as folder:
    trace = Path(folder) / "trace.json"
    check("a trace of the demo", run(sluice, "run", "--trace", trace, "--", sluice, "demo"), 0, "demo: PASS")
    written = json.loads(trace.read_text()) if trace.exists() else {}
    complaints.expect(len(written.get("traceEvents", [])) > 10, f"the trace has {len(written)} parts")
complaints.conclude("sluice run")
