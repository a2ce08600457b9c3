"""Environment variables are read in one place, src/os/environment.hpp, which is silent in programs with raised rights.

A bare getenv() anywhere else would let the user of a set-user-ID program say what it starts, loads or overwrites.
"""

import re
import sys
from pathlib import Path

from house_support import conclude, files

READS = re.compile(r"\b(?:(?:secure_)?getenv|environ|__environ)\b")
# Where the words are no reading: the function itself; exec functions of the guard, which hand on what the program's own environ is.
ALLOWED = {Path("src/os/environment.hpp"), Path("src/face/guard/sending.cc")}


def code_of(line: str) -> str:
    return re.sub(r'//.*|"(?:\\.|[^"\\])*"', "", line)


def main():
    root = Path(sys.argv[1])
    paths = list(files(root, ["src", "include", "tools", "examples"], {".cc", ".hpp", ".h", ".c", ".cu"}))
    assert all((root / path).is_file() for path in ALLOWED), ALLOWED
    offences = [
        f"{path}:{number}: reads the environment by itself; call os::environment() of os/environment.hpp"
        for path in paths
        if path not in ALLOWED
        for number, line in enumerate((root / path).read_text().splitlines(), 1)
        if READS.search(code_of(line))
    ]
    conclude(offences, len(paths))


main()
