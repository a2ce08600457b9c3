"""Running the tool: what the scripts of this area share."""

import json
import os
import subprocess
import sys
from pathlib import Path

VERBS = [[], ["demo"], ["doctor"], ["stress"], ["run"], ["trace"], ["report"], ["top"], ["bench"], ["kfd"], ["kfd", "conformance"]] + [
    ["bench", name] for name in ("faults", "fresh", "launch", "map", "dispatch", "pressure", "cuda", "tradeoff")
]


class Tool:
    """The built binary, and the complaints about it that make the test fail."""

    def __init__(self):
        if len(sys.argv) != 3:
            sys.exit(f"usage: {sys.argv[0]} SOURCE_DIR BUILD_DIR")
        self.path = Path(sys.argv[2]) / "bin" / "sluice"
        self.complaints = []

    def run(self, *arguments, timeout=300, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **environment):
        """Runs it. Standard input is empty; `environment` is added to this process's own."""
        return subprocess.run(
            [self.path, *arguments],
            stdout=stdout,
            stderr=stderr,
            text=True,
            errors="replace",
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )

    def json(self, *arguments, status=0, **keywords):
        """Runs it and gives back the one JSON document that it has to print, and nothing else, on stdout."""
        ended = self.run(*arguments, **keywords)
        self.expect(ended.returncode == status, f"{arguments} ended with {ended.returncode}:\n{ended.stderr}{ended.stdout}")
        return self.parse(ended.stdout, f"{arguments} printed no JSON, and {ended.stderr}")

    @staticmethod
    def parse(text, complaint="no JSON was printed"):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            sys.exit(f"{complaint}: {error}\n{text}")

    def is_sanitized(self):
        """Whether the build has a sanitizer, which makes everything several times slower."""
        return "SLUICE_SANITIZE:STRING=\n" not in (self.path.parent.parent / "CMakeCache.txt").read_text()

    def expect(self, holds, complaint):
        if not holds:
            self.complaints.append(complaint)

    def conclude(self):
        for complaint in self.complaints:
            print(complaint)
        sys.exit(1 if self.complaints else 0)
