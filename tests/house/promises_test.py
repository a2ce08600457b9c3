"""docs/promises.md tells the truth about the tests: each test that it names exists, and each message stands in the sources. The last
column of the cases is what once happened, and quotes nothing.

Tests are those of ctest. A program that is not built has not told ctest its tests yet; those are then looked for in its sources.
"""

import re
import subprocess
import sys
from pathlib import Path

from house_support import conclude, files

DEFINED = re.compile(r"^\s*(?:TEST(?:_F|_P)?|RC_GTEST(?:_FIXTURE)?_PROP)\(\s*(\w+),\s*(\w+)", re.MULTILINE)
NAME = re.compile(r"^[a-z]+\.[\w./*]+$")


def tests_of_ctest(build: Path):
    listed = subprocess.run(["ctest", "--test-dir", build, "-N"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"Test\s+#\d+: (\S+)", listed))


def tests_in_sources(root: Path, area: str):
    for path in files(root, [f"tests/{area}"], {".cc", ".hpp"}):
        for suite, test in DEFINED.findall((root / path).read_text()):
            yield f"{area}.{suite}.{test}"


def is_known(name: str, known: set[str]):
    """A test with parameters is known as Values/Suite.test/parameter; the page names it without, or all of a kind with a `*`."""
    area, _, rest = name.partition(".")
    pattern = rf"{area}\.(?:\w+/)?{re.escape(rest).replace(re.escape('*'), '.*')}(?:/.*)?"
    return name in known or any(re.fullmatch(pattern, other) for other in known)


def flat(text: str):
    """Literals of C++ that the compiler joins are joined, so that a message is found however its line was broken."""
    return re.sub(r'"\s*\n\s*"', "", text)


def rows_of(page: str):
    for line in page.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0] not in ("promise", "limit", "case") and not set(cells[0]) <= {"-", ":"}:
            yield cells


def offences_in(root: Path, build: Path, rows):
    known = tests_of_ctest(build)
    for area in {name.split(".")[0] for row in rows for name in re.findall(r"`([^`]+)`", row[1])}:
        known |= set(tests_in_sources(root, area))
    sources = "\n".join(flat((root / path).read_text()) for path in files(root, ["src", "tools", "include"], {".cc", ".hpp", ".h"}))
    for promise, tests, message in rows:
        named = re.findall(r"`([^`]+)`", tests)
        if not named:
            yield f"no test holds: {promise}"
        for name in named:
            if not NAME.match(name) or not is_known(name, known):
                yield f"there is no test {name}, which is to hold: {promise}"
        for text in re.findall(r"`([^`]+)`", message):
            if text.replace("\\|", "|") not in sources:
                yield f"no source says: {text}"


def main():
    root, build = Path(sys.argv[1]), Path(sys.argv[2])
    rows = list(rows_of((root / "docs" / "promises.md").read_text()))
    conclude(list(offences_in(root, build, rows)), len(rows))


main()
