"""What the tests of the house share: the sources, their includes, and how a list of offences becomes a test result."""

import re
import sys
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def files(root: Path, folders, suffixes):
    """The files under these folders of `root`, as paths relative to it."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path.relative_to(root)


def includes(path: Path):
    """(line number, text, is it written with quotes) of each #include in a file."""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := INCLUDE.match(line):
            yield number, found[1] or found[2], found[1] is not None


def conclude(offences, checked: int):
    """Ends the test. A test that looked at nothing has not passed."""
    for offence in offences:
        print(offence)
    if not checked:
        print("found nothing to check: is the first argument the source folder?")
    sys.exit(1 if offences or not checked else 0)
