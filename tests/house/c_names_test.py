"""Enumerators of the C interface are global names of every program that includes it, and those of one enumeration have a prefix of
their own: SLUICE_ and words of the enumeration's name. A status is SLUICE_OK or an error."""

import re
import sys
from pathlib import Path

from house_support import conclude, files

PREFIXES = {"sluice_status": "SLUICE_ERROR_"}
ALONE = {"SLUICE_OK"}


def prefix_of(enumeration: str, names) -> str:
    """The words that all names begin with, as long as they are words of the enumeration's name."""
    words = set(enumeration.upper().split("_"))
    kept = []
    for column in zip(*(name.split("_") for name in names)):
        if len(set(column)) != 1 or column[0] not in words:
            break
        kept.append(column[0])
    return "_".join(kept) + "_"


def main():
    root = Path(sys.argv[1])
    text = "".join((root / path).read_text() for path in files(root, ["include"], {".h"}))
    text = re.sub(r"/\*(?s:.*?)\*/", "", text)
    offences, owners = [], {}
    enumerations = re.findall(r"enum (sluice_\w+) \{([^}]*)\}", text)
    for enumeration, body in enumerations:
        names = [name for name in re.findall(r"\bSLUICE_\w+", body) if name not in ALONE]
        prefix = PREFIXES.get(enumeration) or prefix_of(enumeration, names)
        if prefix == "SLUICE_":
            offences.append(f"{enumeration}: its enumerators have no prefix of its name: {', '.join(names)}")
        offences += [f"{enumeration}: {name} does not begin with {prefix}" for name in names if not name.startswith(prefix)]
        if prefix in owners:
            offences.append(f"{enumeration} and {owners[prefix]} have the same prefix, {prefix}")
        owners[prefix] = enumeration
    conclude(offences, len(enumerations))


main()
