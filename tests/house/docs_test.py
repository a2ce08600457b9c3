"""Every link of the documents to a file of the house leads somewhere. (install_test.py builds and runs README's program.)"""

import re
import sys
from pathlib import Path

from house_support import conclude

DOCUMENTS = ["README.md", "ARCHITECTURE.md", "GLOSSARY.md", "CONTRIBUTING.md", "CHANGELOG.md"]


def offences_in(root: Path, document: Path):
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        if not (document.parent / link).exists():
            yield f"{document.name}: the link to {link} leads nowhere"


def main():
    root = Path(sys.argv[1])
    documents = [root / name for name in DOCUMENTS] + sorted((root / "docs").glob("*.md"))
    conclude([offence for document in documents for offence in offences_in(root, document)], len(documents))


main()
