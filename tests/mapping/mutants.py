"""Plants each bug of the mapping code in turn (src/engine/planted.hpp) and runs the contract suite until a test fails.

One line each: `NAME: killed by TEST` or `NAME: SURVIVED`. Status 0 only if every bug was found, and the suite without a bug
finds nothing. A bug that shows as a crash or a hang is found, too, by the test that was running.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

# Far more than the suite takes: it bounds a bug that hangs.
SECONDS = 120


def run(program: Path, bug: str):
    """(the tests that failed or never ended, how the run ended)."""
    environment = dict(os.environ, SLUICE_PLANT=bug) if bug else dict(os.environ)
    command = [str(program), "--gtest_fail_fast", "--gtest_brief=0", "--gtest_color=no"]
    try:
        result = subprocess.run(command, text=True, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=SECONDS, errors="replace")
        output, ended = result.stdout, result.returncode
    except subprocess.TimeoutExpired as late:
        output, ended = (late.stdout or b"").decode(errors="replace"), None
    begun = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    passed = set(re.findall(r"^\[       OK \] (\S+)", output, re.MULTILINE))
    return [test for test in begun if test not in passed], ended, len(passed)


def main():
    program = Path(sys.argv[2]) / "tests" / "mapping_mutants"
    listed = subprocess.run([str(program)], text=True, env=dict(os.environ, SLUICE_PLANT="list"),
                            stdout=subprocess.PIPE, check=True)
    bugs = listed.stdout.split()
    failures, ended, passed = run(program, "")
    if failures or ended != 0 or not passed or len(bugs) < 10:
        print(f"without a bug the suite must pass; it ended with {ended}, failing {failures or 'nothing'}")
        sys.exit(1)
    survivors = 0
    for bug in bugs:
        failures, ended, _ = run(program, bug)
        killed = bool(failures) or ended != 0
        survivors += not killed
        how = "" if ended == 1 else " (it hangs)" if ended is None else f" (status {ended})"
        print(f"{bug}: killed by {failures[0] if failures else 'its end'}{how}" if killed else f"{bug}: SURVIVED", flush=True)
    print(f"{len(bugs) - survivors} of {len(bugs)} killed by a suite of {passed} tests")
    sys.exit(1 if survivors else 0)


main()
