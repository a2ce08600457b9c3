"""Output that cannot be written is never lost in silence: a full disk under stdout, a trace that has no place, and a file that is there
already. A reader that goes away is no failure, and a full stderr breaks nothing."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tool_support import Tool

PRINTING = [
    ["--help"],
    ["--version"],
    ["stress", "--help"],
    ["doctor"],
    ["doctor", "--json"],
    ["demo"],
    ["demo", "--json"],
    ["stress", "--seconds", "0.2", "--threads", "2", "--devices", "1", "--working-set", "4MiB"],
    ["stress", "--seconds", "0.2", "--threads", "2", "--devices", "1", "--working-set", "4MiB", "--json"],
    ["stress", "--chaos", "--rounds", "2", "--json"],
    ["bench", "dispatch", "--rounds", "1", "--json"],
]

tool = Tool()
for arguments in PRINTING:
    with open("/dev/full", "w") as full:
        ended = tool.run(*arguments, stdout=full)
    tool.expect(ended.returncode == 3, f"{arguments} > /dev/full ended with {ended.returncode}: {ended.stderr}")
    tool.expect("No space left on device" in ended.stderr, f"{arguments} > /dev/full does not say why: {ended.stderr}")
    with open("/dev/full", "w") as full:
        ended = tool.run(*arguments, stderr=full)
    tool.expect(ended.returncode == 0, f"{arguments} 2> /dev/full ended with {ended.returncode}")

# The reader takes nothing.
reading, writing = os.pipe()
os.close(reading)
ended = tool.run("doctor", "--json", stdout=writing)
os.close(writing)
tool.expect(ended.returncode == 0 and ended.stderr == "", f"a reader that went away: {ended.returncode}, {ended.stderr}")


def traces(folder, *command, **environment):
    """What a command leaves in an empty folder: the names, and what it said."""
    ended = tool.run(*command, **environment)
    for path in folder.iterdir():
        if path.stat().st_size > 100:
            json.loads(path.read_text())
    return sorted(path.name for path in folder.iterdir()), ended


demos = ["sh", "-c", f"{tool.path} demo >/dev/null && {tool.path} demo >/dev/null"]
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    # Two programs, one name: neither overwrites the other's.
    names, ended = traces(folder, "run", "--trace", str(folder / "trace"), "--", *demos)
    tool.expect(len(names) == 2 and names[0] == "trace" and names[1].startswith("trace."), f"traces: {names}")
    tool.expect(f"the trace is in {folder / names[-1]}" in ended.stderr, f"it is not said which: {ended.stderr}")
    (folder / "kept").write_text("mine")
    tool.run("demo", SLUICE_TRACE=str(folder / "kept"))
    tool.expect((folder / "kept").read_text() == "mine", "a file that was there is overwritten")
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    names, ended = traces(folder, "run", "--trace", str(folder / "%p.json"), "--", *demos)
    tool.expect(len(names) == 2 and all(n.removesuffix(".json").isdigit() for n in names), f"traces by process: {names}")
    tool.expect("trace" not in ended.stderr, f"a name that was asked for is told: {ended.stderr}")

for wanted in ("/dev/full", "/nonexistent/folder/trace"):
    ended = tool.run("demo", SLUICE_TRACE=wanted)
    tool.expect(ended.returncode == 3, f"a trace in {wanted}: ended with {ended.returncode}")
    tool.expect(wanted in ended.stderr, f"a trace in {wanted}: the complaint does not name it: {ended.stderr}")
ended = tool.run("run", "--trace", "/nonexistent/folder/trace", "--", "echo", "started")
tool.expect(ended.returncode == 3 and "started" not in ended.stdout, f"it ran without a place for its trace: {ended}")
tool.expect("/nonexistent/folder/trace" in ended.stderr, f"the trace's name is missing: {ended.stderr}")


def catches(process, number):
    """Whether the process has a handler of this signal (SigCgt in proc(5))."""
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{process}/status").read_text()).group(1)
    return bool(int(caught, 16) >> (number - 1) & 1)


# Ctrl-C: what was seen so far, with the seed, and the end that a shell expects.
for how in ([], ["--mapping"], ["--chaos"]):
    stress = subprocess.Popen(
        [tool.path, "stress", "--seconds", "300", "--progress", "--json", *how, *(["--threads", "2"] if how != ["--chaos"] else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if how != ["--mapping"]:
        stress.stderr.readline()  # it is in its first round
    else:
        while not catches(stress.pid, signal.SIGINT):
            time.sleep(0.01)
    stress.send_signal(signal.SIGINT)
    output, complaints = stress.communicate(timeout=120)
    tool.expect(stress.returncode == -signal.SIGINT, f"stress {how} ended with {stress.returncode}: {complaints}")
    try:
        summary = json.loads(output)
        tool.expect(summary["stress"] == "INTERRUPTED" and summary["seed"] > 0, f"stress {how}: {summary}")
    except json.JSONDecodeError:
        tool.expect(False, f"stress {how} gave no summary: {output} {complaints}")
tool.conclude()
