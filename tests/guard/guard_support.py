"""Running programs with and without the guard: what the scripts of this area share."""

import os
import subprocess
import sys
from pathlib import Path

if len(sys.argv) != 3:
    sys.exit(f"usage: {sys.argv[0]} SOURCE_DIR BUILD_DIR")
SOURCE = Path(sys.argv[1])
BUILD = Path(sys.argv[2]).resolve()
GUARD = BUILD / "lib" / "libsluice-guard.so"
PROGRAMS = BUILD / "tests" / "guard"

GUARDED = {"LD_PRELOAD": str(GUARD), "SLUICE_GUARD_DRIVERS": "libstand-in-driver.so"}


def run(*command, timeout=180, **environment):
    """Runs it with `environment` added to this process's own. What it printed and how it ended."""
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


class Complaints:
    def __init__(self):
        self.lines = []

    def expect(self, holds, complaint):
        if not holds:
            self.lines.append(complaint)

    def conclude(self, what):
        for line in self.lines:
            print(line)
        print(f"{what}: {len(self.lines)} complaints")
        sys.exit(1 if self.lines else 0)
