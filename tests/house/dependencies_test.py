"""The arrows of the tree only point down: each folder of src/ includes only what ARCHITECTURE.md puts below it.

Also: the directory and the plan stay pure (no clock, no thread, no Linux), code that runs in a signal handler stays free of
what allocates or locks, a public header pulls in nothing from src/, and the engine and what it stands on know no kind of device by name.
"""

import os
import re
import sys
from pathlib import Path

from house_support import conclude, files, includes

# Folder -> what it may include besides itself. "device" is the interface, the files directly in src/device/; a back end is
# "device/<name>". Written out, because the order alone would let the pure folders see os and observe.
BELOW = {
    "base": [],
    "observe": ["base"],
    "os": ["base", "observe"],
    "directory": ["base"],
    "plan": ["base", "directory"],
    "device": ["base", "observe", "os"],
    "device/*": ["base", "observe", "os", "device"],
    "fault": ["base", "observe", "os", "directory", "plan"],
    "transfer": ["base", "observe", "os", "directory", "plan", "device", "fault"],
    "mapping": ["base", "observe", "os", "directory", "plan", "device", "fault", "transfer"],
    # The registry opens the back ends that need no face, and a face those that only it can open. Fault plans are for software devices.
    "engine": ["base", "observe", "os", "directory", "plan", "device", "device/soft", "fault", "transfer", "mapping"],
    "pool": ["base", "os"],
    "face": ["base", "observe", "os", "directory", "plan", "device", "fault", "transfer", "mapping", "engine", "pool", "device/*"],
    # They use the library as a program does, and a little of what every part of the house stands on.
    "program": ["base", "os"],
    "stress": ["base", "os", "program"],
}

# Kinds of device that only their folder, the registry and faces know, by any name.
NO_KIND_IN = {"base", "observe", "os", "directory", "plan", "fault", "transfer", "mapping", "engine"}
KIND = re.compile(r"cuda|opencl(?! layer)", re.IGNORECASE)

PURE = {"directory", "plan"}
NOT_PURE = {
    "chrono", "condition_variable", "ctime", "future", "mutex", "poll.h", "pthread.h", "sched.h", "semaphore", "shared_mutex",
    "signal.h", "csignal", "stop_token", "thread", "time.h", "unistd.h", "fcntl.h",
}  # fmt: skip
NOT_PURE_FOLDERS = ("sys/", "linux/", "asm/")

NOT_IN_HANDLER = {
    "condition_variable", "cstdio", "deque", "fstream", "functional", "iostream", "list", "map", "mutex", "ostream", "set",
    "shared_mutex", "sstream", "stdio.h", "string", "unordered_map", "unordered_set", "vector",
}  # fmt: skip


def layer(path: Path) -> str:
    """The layer of a path relative to src/."""
    if path.parts[0] == "device" and len(path.parts) > 2:
        return f"device/{path.parts[1]}"
    return path.parts[0]


def may_include(layer_from: str, layer_to: str) -> bool:
    if layer_from == layer_to:
        return True
    rule = "device/*" if layer_from.startswith("device/") else layer_from
    below = BELOW[rule]
    return layer_to in below or (layer_to.startswith("device/") and "device/*" in below)


def target(root: Path, path: Path, text: str) -> Path | None:
    """The house's file that an #include names, relative to the root, or None for somebody else's."""
    for folder in (path.parent, Path("src"), Path("include"), Path("tools/sluice")):
        if (root / folder / text).is_file():
            return Path(os.path.normpath(folder / text))
    return None


def offences_in(root: Path, path: Path):
    top = path.parts[0]
    layer_from = layer(path.relative_to("src")) if top == "src" else top
    rule = "device/*" if layer_from.startswith("device/") else layer_from
    if top == "src" and rule not in BELOW:
        yield f"{path}: src/{layer_from} has no place in the tree; give it one in {Path(__file__).name} and ARCHITECTURE.md"
        return
    if layer_from in NO_KIND_IN:
        for line, text in enumerate((root / path).read_text().splitlines(), 1):
            if KIND.search(text):
                yield f"{path}:{line}: {layer_from} knows a kind of device by name; say it by a trait or an ability (src/device/)"
    for line, text, quoted in includes(root / path):
        named = target(root, path, text)
        if quoted and named is None:
            yield f'{path}:{line}: "{text}" is no file of the house; others\' headers are included with <>'
        if named is not None and named.parts[0] == "src":
            layer_to = layer(named.relative_to("src"))
            if top == "include":
                yield f"{path}:{line}: a public header includes {named}, which is not installed"
            elif top == "src" and not may_include(layer_from, layer_to):
                yield f"{path}:{line}: {layer_from} includes {text}; {layer_to} is not below it"
        # The parts of an engine do not know the engine that they belong to.
        if layer_from == "engine" and text == "engine/engine.hpp" and path.name != "engine.cc":
            yield f"{path}:{line}: only engine.cc stands above the parts of the engine; give the file the parts that it needs"
        if named is not None and named.parts[0] == "tools" and top != "tools":
            yield f"{path}:{line}: includes the tool's {text}"
        if layer_from in PURE and (text in NOT_PURE or text.startswith(NOT_PURE_FOLDERS)):
            yield f"{path}:{line}: {layer_from} is pure, but includes <{text}>"
        if path.name.endswith("_in_handler.cc") and text in NOT_IN_HANDLER:
            yield f"{path}:{line}: runs in a signal handler, but includes <{text}>"


def main():
    root = Path(sys.argv[1])
    paths = list(files(root, ["src", "include", "tools"], {".cc", ".hpp", ".h", ".c"}))
    conclude([offence for path in paths for offence in offences_in(root, path)], len(paths))


main()
