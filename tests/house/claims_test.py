"""The compiler refuses an access to a block without its claim, and one to the tracker without an entry.

`make lint` compiles with clang, whose thread-safety analysis knows claims and mutexes (src/base/thread_annotations.hpp). This test
plants such accesses into a copy of an engine source and expects clang's complaint about each of them, at its line, and no other; the
source itself must compile. What it plants: the state of a block read without the claim, read for a query without the mutex, changed
under the mutex alone and under the claim alone; a claim taken out of a function that had one; histories touched without the claim;
the tracker locked from outside, and asked without an entry.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from house_support import conclude
from tree_support import skip

CLANG = "clang++-19"
SOURCE = "src/engine/leases.cc"
TAKEN_OUT = "  const ScopedClaim claim(block.claim);\n  if (block.state().in_host_memory) return tried;\n"

# A line, and a part of the complaint that it must cause; None: it is right.
PLANTED = [
    ("bool read_bare(const Block& block) { return block.state().in_host_memory; }", "requires holding claim 'block.claim'"),
    ("bool query_bare(const Block& block) { return block.locked_state().in_host_memory; }", "requires holding mutex 'block.mutex'"),
    ("void change_locked(Block& block) { const MutexLock lock(block.mutex); block.change().in_host_memory = true; }", "requires holding claim 'block.claim'"),
    ("void change_claimed(Block& block) { const ScopedClaim claim(block.claim); block.change().in_host_memory = true; }", "requires holding mutex 'block.mutex'"),
    ("void change_other(Block& block, Block& other) { const ScopedClaim claim(other.claim); const MutexLock lock(block.mutex); block.change().in_host_memory = true; }", "requires holding claim 'block.claim'"),
    ("void count_bare(Block& block) { block.host_accesses.forget(); }", "requires holding claim 'block.claim'"),
    ("void lend_bare(Block& block) { block.borrows.note_ownership_transfer(); }", "requires holding claim 'block.claim'"),
    ("void refresh_bare(ReadinessTracker& readiness, Range& range, Block& block) { readiness.refresh(range, block); }", "requires holding claim 'block.claim'"),
    ("bool enter_bare(ReadinessTracker& readiness) { return readiness.every_range_is_ready(0); }", "requires holding mutex 'readiness.mutex_'"),
    ("bool read_claimed(Block& block) { const ScopedClaim claim(block.claim); return block.state().in_host_memory; }", None),
    ("bool query_locked(Block& block) { const MutexLock lock(block.mutex); return block.locked_state().in_host_memory; }", None),
    ("void change_both(Block& block) { const ScopedClaim claim(block.claim); const MutexLock lock(block.mutex); block.change().in_host_memory = true; }", None),
    ("bool enter(ReadinessTracker& readiness) { const ReadinessTracker::Entry entry(readiness); return readiness.every_range_is_ready(0); }", None),
    # The last: after an error clang analyses no further function.
    ("void lock_readiness(ReadinessTracker& readiness) { const MutexLock lock(readiness.mutex_); }", "private member of"),
]


def includes(joint: Path, source: Path):
    return "/Unity/" in str(joint) and f'#include "{source}"' in joint.read_text()


def flags_of(build: Path, source: Path):
    """The include paths, definitions and language of the source, as the build has them. A joint build compiles a file that includes it."""
    commands = json.loads((build / "compile_commands.json").read_text())
    entry = next((each for each in commands if Path(each["file"]) == source or includes(Path(each["file"]), source)), None)
    if entry is None:
        sys.exit(f"{build}/compile_commands.json has no command that compiles {source}")
    words = shlex.split(entry["command"])
    kept = [word for word in words if re.match(r"-(I|D|isystem|std=)", word)]
    for at, word in enumerate(words):
        if word == "-isystem":
            kept.append(words[at + 1])
    return kept


def complaints_of(flags, file: Path):
    """{line: [what clang says of it]}"""
    command = [CLANG, *flags, "-x", "c++", "-fsyntax-only", "-Wthread-safety", "-fno-caret-diagnostics", "-ferror-limit=0", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    found = {}
    for line in ended.stderr.splitlines():
        said = re.match(rf"{re.escape(str(file))}:(\d+):\d+: (?:warning|error): (.*)", line)
        if said:
            found.setdefault(int(said[1]), []).append(said[2])
        elif ": error: " in line:
            found.setdefault(0, []).append(line)
    return found


def main():
    source, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    if shutil.which(CLANG) is None:
        skip(f"{CLANG} is not installed; `make deps-lint` installs it")
    if not (build / "compile_commands.json").exists():
        skip("the build has no compile_commands.json")
    offences = []
    options = (source / "cmake/options.cmake").read_text()
    if "-Wthread-safety" not in options:
        offences.append("cmake/options.cmake: clang no longer gets -Wthread-safety, so `make lint` finds none of this")
    text = (source / SOURCE).read_text()
    if text.count(TAKEN_OUT) != 1:
        offences.append(f"{SOURCE} has changed: it no longer contains {TAKEN_OUT!r} once")
    flags = flags_of(build, source / SOURCE)
    for line, said in complaints_of(flags, source / SOURCE).items():
        offences.append(f"{SOURCE}:{line}: {said}")

    planted = text.replace(TAKEN_OUT, TAKEN_OUT.split("\n")[1] + "\n")
    first = planted.count("\n") + 3
    planted += "\nnamespace sluice::engine {\n" + "\n".join(line for line, _ in PLANTED) + "\n}  // namespace sluice::engine\n"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "leases.cc"
        copy.write_text(planted)
        found = complaints_of(flags, copy)
    for at, (line, complaint) in enumerate(PLANTED, first):
        said = found.pop(at, [])
        if complaint is None and said:
            offences.append(f"clang refuses what is right: {line}: {said}")
        if complaint is not None and not any(complaint in each for each in said):
            offences.append(f"clang says nothing of: {line} (it says {said})")
    if not any("requires holding claim 'block.claim'" in each for said in found.values() for each in said):
        offences.append(f"clang says nothing of the claim that was taken out of {SOURCE}")
    conclude(offences, len(PLANTED) + 2)


if __name__ == "__main__":
    main()
