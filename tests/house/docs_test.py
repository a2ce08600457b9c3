"""The documents stay true where a script can tell: the C++ and C in README.md stands in examples/, which are tests, and every
link to a file of the house leads somewhere."""

import re
import sys
from pathlib import Path

from house_support import conclude

DOCUMENTS = ["README.md", "ARCHITECTURE.md", "GLOSSARY.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def offences_in(root: Path, document: Path):
    text = document.read_text()
    examples = [path.read_text() for path in (root / "examples").glob("*.c*")]
    for block in re.findall(r"^```(?:cpp|c\+\+|c)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        if not any(block in example for example in examples):
            yield f"{document.name}: this code is in no file of examples/:\n{block}"
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        if not (document.parent / link).exists():
            yield f"{document.name}: the link to {link} leads nowhere"


def main():
    root = Path(sys.argv[1])
    documents = [root / name for name in DOCUMENTS] + sorted((root / "docs").glob("*.md"))
    conclude([offence for document in documents for offence in offences_in(root, document)], len(documents))


main()
