"""Comments keep to plain English: those that say who, whoever or whose are rare (under one line in two hundred), because pages, blocks
and threads are no persons, and no comment begins with What or Whether as a noun, but for the heading "What it does not do"."""

import re
import sys
from pathlib import Path

from house_support import conclude, files

MOST = 0.005
COMMENT = re.compile(r"(?:^|\s)(?://|/?\*+)\s(.*)")
PERSONS = re.compile(r"\b(who|whoever|whose|whom)\b", re.IGNORECASE)
NOUN_CLAUSE = re.compile(r"^\s*// (What (?!it does not do)|Whether )")


def main():
    root = Path(sys.argv[1])
    paths = list(files(root, ["src", "include", "tools", "examples"], {".cc", ".hpp", ".h", ".c", ".cu"}))
    comments, persons, offences = 0, [], []
    for path in paths:
        before = ""
        for number, line in enumerate((root / path).read_text().splitlines(), 1):
            found = COMMENT.search(line)
            # A line that goes on with a sentence begins none.
            if NOUN_CLAUSE.match(line) and not re.match(r"\s*// .*[^.:]$", before):
                offences.append(f"{path}:{number}: begins with a noun clause: {line.strip()}")
            before = line
            if not found:
                continue
            comments += 1
            if PERSONS.search(found[1]):
                persons.append(f"{path}:{number}: {line.strip()}")
    if len(persons) > MOST * comments:
        offences += [f"{len(persons)} of {comments} comment lines say who or whose, more than {MOST:.1%}", *persons]
    conclude(offences, len(paths))


main()
