"""Plants the bugs of tests/mutants/*/*.patch in a copy of the sources that they touch.

    plant_support.py SOURCE COPY    copies those sources to COPY, applies every patch, and lists the bugs in COPY/planted_bugs.hpp

All patches are in one copy, so it is compiled once; planted.hpp chooses a bug when a program runs. `patch` would put a hunk at the
nearest place that looks alike. A mistake planted in another function is another mistake, so here the lines of a hunk must stand in
the file exactly once, at any line. A file that would not change is not written: what was compiled of it stays.
"""

import re
import sys
from pathlib import Path

HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


class Refused(Exception):
    """A patch that cannot be applied. The text names the patch and the file, and says what to do."""


class Mutant:
    """A patch: `name`, and `hunks` of (file, the lines before, the lines after)."""

    def __init__(self, path: Path, shown: Path):
        self.name, self.shown, self.hunks = path.stem, shown, []
        file, lines = "", iter(path.read_text().splitlines())
        for line in lines:
            if line.startswith("+++ b/"):
                file = line.removeprefix("+++ b/")
            elif found := HUNK.match(line):
                self.hunks.append((file, *self.read_hunk(lines, int(found[1] or 1), int(found[2] or 1))))
        if not self.hunks or not all(file.startswith("src/") and file.endswith(".cc") for file, _, _ in self.hunks):
            raise Refused(f"{shown}: no patch of sources, src/**/*.cc. {self.advice('src/...')}")
        if not re.fullmatch(r"[a-z][a-z_]*", self.name) or self.site not in "".join(after for _, _, after in self.hunks):
            raise Refused(f"{shown}: it must add {self.site}, by which it is chosen when a program runs")

    @property
    def site(self) -> str:
        return f"planted::is(planted::Bug::{self.name})"

    def read_hunk(self, lines, count_before: int, count_after: int):
        before, after = [], []
        while len(before) < count_before or len(after) < count_after:
            line = next(lines, None)
            if line is None or line[:1] not in (" ", "-", "+", ""):
                raise Refused(f"{self.shown}: a hunk ends early. {self.advice('src/...')}")
            if line[:1] != "+":
                before.append(line[1:])
            if line[:1] != "-":
                after.append(line[1:])
        return "".join(line + "\n" for line in before), "".join(line + "\n" for line in after)

    def advice(self, file: str) -> str:
        return (f"Make the mistake in the source as it is now, `git diff -U1 -- {file} > {self.shown}`, and undo it in the source; "
                "see \"Planted bugs\" in CONTRIBUTING.md.")

    def apply_to(self, sources: dict, read):
        """`sources`: text by file, to which read(file) adds those that no patch has changed so far."""
        for file, before, after in self.hunks:
            if file not in sources:
                sources[file] = read(file)
            text = sources[file]
            # Hunks are of whole lines: each stands after the end of another.
            places = ("\n" + text).count("\n" + before)
            if places != 1:
                how = "no longer applies to" if not places else f"fits {places} places (take more context, -U3) of"
                raise Refused(f"{self.shown} {how} {file}. These lines must stand there once:\n{before}{self.advice(file)} "
                              "It must not change lines that another patch has as context.")
            sources[file] = ("\n" + text).replace("\n" + before, "\n" + after)[1:]


def mutants(root: Path):
    paths = sorted((root / "tests/mutants").glob("*/*.patch"), key=lambda path: path.stem)
    for one, next_one in zip(paths, paths[1:]):
        if one.stem == next_one.stem:
            raise Refused(f"{next_one.relative_to(root)}: {one.relative_to(root)} has that name already")
    return [Mutant(path, path.relative_to(root)) for path in paths]


def reader(root: Path, mutant: Mutant):
    def read(file: str) -> str:
        if not (root / file).is_file():
            raise Refused(f"{mutant.shown} changes {file}, which does not exist. {mutant.advice('src/...')}")
        return (root / file).read_text()
    return read


def write(path: Path, text: str):
    if path.is_file() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def plant(root: Path, copy: Path):
    sources = {}
    try:
        planted = mutants(root)
        for mutant in planted:
            mutant.apply_to(sources, reader(root, mutant))
    except Refused as refused:
        sys.exit(f"planted bugs: {refused}")
    for file, text in sources.items():
        write(copy / file, text)
    write(copy / "planted_bugs.hpp", "".join(f"SLUICE_PLANTED_BUG({mutant.name})\n" for mutant in planted))


if __name__ == "__main__":
    plant(Path(sys.argv[1]), Path(sys.argv[2]))
