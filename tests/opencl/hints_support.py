"""Runs programs/hints below the layer with a trace, and checks by the trace when bytes moved.

    hints_support.py PROGRAM

The program prints "phase NAME still|moves BEGIN END ADDRESS SIZE" (nanoseconds of the monotonic clock, which the trace has too):
in a phase that is still no move of bytes of that memory may begin, in one that moves some must. Skips (77) where run_support.py does.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

MOVES = ("Migration", "ReadDuplicate")


def moves_of(folder):
    """(begin, address, size) of all moves between memories, in nanoseconds and bytes."""
    moves = []
    for file in Path(folder).iterdir():
        for event in json.loads(file.read_text())["traceEvents"]:
            if event["name"] in MOVES:
                moves.append((event["ts"] * 1000, int(event["args"]["address"], 16), event["args"]["size"]))
    return moves


def bytes_moved(moves, begin, end, address, size):
    moved = 0
    for began, at, length in moves:
        if begin <= began <= end:
            moved += max(0, min(at + length, address + size) - max(at, address))
    return moved


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SLUICE_TRACE"] = f"{folder}/%p.json"
        runner = Path(__file__).with_name("run_support.py")
        run = subprocess.run([sys.executable, runner, "--print", *sys.argv[1:]], text=True, stdout=subprocess.PIPE)
        print(run.stdout)
        if run.returncode != 0:
            sys.exit(run.returncode)
        moves = moves_of(folder)

    phases = [line.split() for line in run.stdout.splitlines() if line.startswith("phase ")]
    if not phases and "shared at once" not in run.stdout:
        sys.exit("the program had no phases, and did not say that memory is shared at once")
    wrong = 0
    for _, name, kind, *where in phases:
        moved = bytes_moved(moves, *map(int, where))
        good = (moved == 0) == (kind == "still")
        wrong += not good
        print(f"{name}: {moved} bytes moved, {'as' if good else 'NOT as'} they should ({kind})")
    sys.exit(1 if wrong else 0)


main()
