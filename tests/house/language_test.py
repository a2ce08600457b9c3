"""Names and comments keep to plain English: those that say who, whoever or whose are rare (under one line in two hundred), because pages, blocks
and threads are no persons, and no sentence begins with What, Who or Whether as a noun, but for the heading "What it does not do". No type is named by a participle, and no name that the
glossary gave up comes back. Tests are named by sentences in lower case, as in `a_copy_that_hangs_ends_the_device`."""

import re
import sys
from pathlib import Path

from house_support import conclude, files

MOST = 0.005
COMMENT = re.compile(r"(?:^|\s)(?://|/?\*+)\s(.*)")
PERSONS = re.compile(r"\b(who|whoever|whose|whom)\b", re.IGNORECASE)
# A type is a thing: AllocationRequest, not Wanting. These end like participles and are nouns.
PARTICIPLE = re.compile(r"^\s*(?:template <[^>]*> *)?(?:class|struct|enum class) (?:\w+\(.*\) )?(\w+(?:ing|ed))\b(?! *;)")
NOUNS = {"Accounting", "Dropping", "Finding", "Holding", "Mapping", "Need", "Nothing", "Ring", "Setting"}
GIVEN_UP = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| `", re.MULTILINE)
TEST_NAME = re.compile(r"\b(?:TEST(?:_F|_P)?|RC_GTEST(?:_FIXTURE)?_PROP)\(\s*\w+,\s*(?:DISABLED_)?(\w+)")
NOUN_CLAUSE = re.compile(r"^\s*// (What (?!it does not do)|Whether )")
INSIDE = re.compile(r"^\s*// .*[.;:] (What (?!it\b)|Who(ever)? |Whether )")


def main():
    root = Path(sys.argv[1])
    paths = list(files(root, ["src", "include", "tools", "examples"], {".cc", ".hpp", ".h", ".c", ".cu"}))
    comments, persons, offences = 0, [], []
    given_up = [name for row in GIVEN_UP.findall((root / "GLOSSARY.md").read_text()) for name in re.findall(r"\w+", row)]
    if not given_up:
        offences.append("GLOSSARY.md names nothing that is not used: has its table another form?")
    old_variable = re.compile(r"\b(" + "|".join(name.lower() for name in given_up if name != "Room") + r")\b")
    again = re.compile(r"\b(" + "|".join(given_up) + r")(?=[&*>({:]|\s+\w+[;,({=)])")
    for path in paths:
        before = ""
        for number, line in enumerate((root / path).read_text().splitlines(), 1):
            found = COMMENT.search(line)
            # A line that goes on with a sentence begins none.
            if INSIDE.match(line) or (NOUN_CLAUSE.match(line) and not re.match(r"\s*// .*[^.:]$", before)):
                offences.append(f"{path}:{number}: a sentence that begins with a noun clause: {line.strip()}")
            before = line
            named = PARTICIPLE.match(line)
            if named and re.findall(r"[A-Z][a-z]*", named[1])[-1:] and re.findall(r"[A-Z][a-z]*", named[1])[-1] not in NOUNS:
                offences.append(f"{path}:{number}: a type named by a participle: {named[1]}")
            if not line.lstrip().startswith(("//", "/*", "*")) and (old := again.search(line.split("//")[0])):
                offences.append(f"{path}:{number}: {old[1]} is given up in GLOSSARY.md")
            if path.parts[:2] == ("src", "engine") and (old := old_variable.search(re.sub(r'"[^"]*"|//.*', "", line))):
                offences.append(f"{path}:{number}: a variable with the name of a type that is given up in GLOSSARY.md: {old[1]}")
            if not found:
                continue
            comments += 1
            if PERSONS.search(found[1]):
                persons.append(f"{path}:{number}: {line.strip()}")
    if len(persons) > MOST * comments:
        offences += [f"{len(persons)} of {comments} comment lines say who or whose, more than {MOST:.1%}", *persons]
    for path in files(root, ["tests"], {".cc", ".hpp"}):
        for name in TEST_NAME.findall((root / path).read_text()):
            if name[0].isupper():  # KiB and CUDA may stand further on
                offences.append(f"{path}: the test {name} is not named in lower_case")
    conclude(offences, len(paths))


main()
