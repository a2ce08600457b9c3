"""`sluice bench`: one object with the agreed fields for each bench, whatever it measured. Times are no test's business:
this one runs beside others. What eviction moves and sparse ranges hold is counted, not timed, so those goals are checked. Under a
sanitizer the benches with most cases are left out: they would take minutes, and call nothing that the stress runs do not. Those of GPUs
behind /dev/kfd need a preload, which no sanitized tree has."""

import math
import re
import signal
import subprocess
import time
from pathlib import Path

from tool_support import Tool

CASES = {
    "faults": {"fault_4k", "stream_64k", "stream_2m", "read_back", "revoke_2m"},
    "fresh": {"first_touch", "small_allocate", "small_touch", "small_free", "live_ranges", "rss", "sparse"},
    "launch": {"launch_idle", "launch_idle_every"},
    "map": {f"map_{what}_{n}" for what in ("one_call", "started", "overlapped", "overhead", "syscall") for n in (1, 2, 4, 8, 16, 64)},
    "dispatch": {"dispatch_submit", "dispatch_round_trip", "dispatch_rate"},
    "kfd": {"call", *(f"{what}_{n}" for what in ("map", "unmap", "allocate") for n in (1, 8, 64))},
    "pressure": {f"pressure_{shape}_{n}x/optimum" for shape in ("cyclic", "scan", "phases", "skewed") for n in (2, 4)},
}

tool = Tool()
if Path("/dev/kfd").exists():
    CASES["kfd"] = {"call", "map_1"}  # a real one, with as many GPUs as it has
for bench, cases in CASES.items():
    if tool.is_sanitized() and bench in ("fresh", "kfd", "map", "pressure"):
        continue
    document = tool.json("bench", bench, "--rounds", "1", "--json")
    tool.expect(set(document) == {"bench", "machine", "results"}, f"{bench}: fields {sorted(document)}")
    tool.expect(document["bench"] == bench, f"{bench} calls itself {document['bench']}")
    tool.expect(document["machine"]["cpus"] > 0, f"{bench}: machine {document['machine']}")
    missing = cases - {result["case"] for result in document["results"]}
    tool.expect(not missing, f"{bench}: no {sorted(missing)}")
    for result in document["results"]:
        tool.expect(set(result) == {"case", "value", "unit", "baseline", "ratio"}, f"{bench}: fields {sorted(result)}")
        tool.expect(result["baseline"] > 0, f"{bench}: {result}")
        tool.expect(math.isclose(result["ratio"], result["value"] / result["baseline"], rel_tol=1e-6), f"{bench}: {result}")
        if result["case"] == "sparse":
            tool.expect(result["ratio"] <= 1.25, f"too much held: {result}")
        if bench == "pressure" and result["case"].startswith(("pressure_cyclic", "pressure_scan", "pressure_phases")):
            tool.expect(result["ratio"] <= 1.25, f"too much moved: {result}")

table = tool.run("bench", "launch", "--rounds", "1")
tool.expect(table.returncode == 0, f"bench launch ended with {table.returncode}: {table.stderr}")
tool.expect("launch_idle" in table.stdout and "verdict" in table.stdout, f"no table:\n{table.stdout}")

# Ctrl-C ends the round, and the figures so far are told.
measuring = subprocess.Popen(
    [tool.path, "bench", "launch", "--rounds", "1000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
)
caught = 1 << (signal.SIGINT - 1)
while not int(re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{measuring.pid}/status").read_text())[1], 16) & caught:
    time.sleep(0.01)
measuring.send_signal(signal.SIGINT)
out, err = measuring.communicate(timeout=300)
tool.expect(measuring.returncode == -signal.SIGINT, f"interrupted: {measuring.returncode}: {err}")
tool.expect("launch_idle" in out and "interrupted" in err, f"interrupted, and not told:\n{out}{err}")

peers = tool.run("bench", "cuda", "--parts", "peers", "--gpus", "0")
tool.expect(peers.returncode == 3 and "two GPUs" in peers.stderr, f"several GPUs, of one: {peers.returncode}: {peers.stderr}")
tool.conclude()
