"""Files stay small enough to be read in one sitting, every source opens with a comment that says what it is for, and comments keep to
the columns of the code (tables and code in them, which are indented, do not)."""

import re
import sys
from pathlib import Path

from house_support import conclude, files

SOURCE_LINES = 450
HEADER_LINES = 235
COLUMNS = 100
PROSE = re.compile(r"\s*// ?(?! |NOLINT)")


def offences_in(root: Path, path: Path):
    lines = (root / path).read_text().splitlines()
    limit = HEADER_LINES if path.suffix in {".hpp", ".h"} else SOURCE_LINES
    if len(lines) > limit:
        yield f"{path}: {len(lines)} lines, more than {limit}; split it by meaning"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS and PROSE.match(line):
            yield f"{path}:{number}: a comment of {len(line)} columns, more than {COLUMNS}"
    if path.parts[0] == "src" and path.suffix == ".cc" and not (lines and lines[0].startswith(("//", "/*"))):
        yield f"{path}: does not open with a comment that says what it does and why"


def main():
    root = Path(sys.argv[1])
    paths = list(files(root, ["src", "include", "tools", "examples"], {".cc", ".hpp", ".h", ".c"}))
    conclude([offence for path in paths for offence in offences_in(root, path)], len(paths))


main()
