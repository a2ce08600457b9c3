"""Plants each bug of a folder of tests/mutants/ in turn and runs that area's contract suite until a test fails.

One line each: `NAME: killed by TEST` or `NAME: SURVIVED`. Status 0 only if every bug was found, and the suite without a bug
finds nothing. A bug that shows as a crash or a hang is found, too, by the test that was running. A run without any test is an error.
"""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# How much longer than the suite without a bug a run may take: it bounds a bug that hangs.
PATIENCE = 5
LEAST_SECONDS = 60


def run(program: Path, bug: str, seconds=None):
    """(the tests that failed or never ended, how the run ended, how many tests passed)."""
    environment = dict(os.environ, SLUICE_PLANT=bug) if bug else dict(os.environ)
    command = [str(program), "--gtest_fail_fast", "--gtest_brief=0", "--gtest_color=no"]
    try:
        result = subprocess.run(command, text=True, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=seconds, errors="replace")
        output, ended = result.stdout, result.returncode
    except subprocess.TimeoutExpired as late:
        output, ended = (late.stdout or b"").decode(errors="replace"), None
    begun = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    passed = set(re.findall(r"^\[       OK \] (\S+)", output, re.MULTILINE))
    if not begun:
        sys.exit(f"{bug or 'without a bug'}: no test ran\n{output}")
    return [test for test in begun if test not in passed], ended, len(passed)


def kill_all(area: str, least: int):
    """`least`: as many bugs as there must be."""
    program = Path(sys.argv[2]) / "tests" / f"{area}_mutants"
    bugs = sorted(patch.stem for patch in Path(sys.argv[1]).glob(f"tests/mutants/{area}/*.patch"))
    began = time.monotonic()
    failures, ended, passed = run(program, "")
    seconds = max(LEAST_SECONDS, PATIENCE * (time.monotonic() - began))
    if failures or ended != 0 or not passed or len(bugs) < least:
        print(f"without a bug the suite must pass; it ended with {ended}, failing {failures or 'nothing'}")
        sys.exit(1)
    survivors = 0
    # The suite mostly waits, but more at once would make the machine too slow for it.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for bug, (failures, ended, _) in zip(bugs, pool.map(lambda bug: run(program, bug, seconds), bugs)):
            killed = bool(failures) or ended != 0
            survivors += not killed
            how = "" if ended == 1 else " (it hangs)" if ended is None else f" (status {ended})"
            print(f"{bug}: killed by {failures[0] if failures else 'its end'}{how}" if killed else f"{bug}: SURVIVED", flush=True)
    print(f"{len(bugs) - survivors} of {len(bugs)} killed by a suite of {passed} tests")
    sys.exit(1 if survivors else 0)

