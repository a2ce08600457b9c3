"""What functions of a linked program call, read from its machine code.

Nodes are functions by address. A call by name is an edge. A call through a pointer is found by the line of the source that makes it:
if the line names a virtual function, the edges lead to all overriders, those in the slot that the instruction reads where it says so.
"""

import bisect
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

HEADER = re.compile(r"([0-9a-f]+) <(.*)>:$")
BRANCH = re.compile(r"\s+([0-9a-f]+):\s+(?:bnd |notrack )?(call|jmp|j\w+) +(.*?)\s*$")
DIRECT = re.compile(r"([0-9a-f]+) <(.*)>$")
SLOT = re.compile(r"\*(0x[0-9a-f]+)?\(%r\w+\)$")
SYMBOL = re.compile(r"\s*\d+: ([0-9a-f]+)\s+(\w+) (\w+)\s+\w+\s+\w+\s+\w+ (\S+)")
RELOCATION = re.compile(r"([0-9a-f]+)\s+[0-9a-f]+ R_X86_64_(RELATIVE|64)\s+([0-9a-f]+)(?: (\S+))?")


@dataclass
class Pointer:
    """A call through a pointer."""

    address: int
    slot: int | None  # of a virtual function, if the instruction says it
    line: str = ""  # the source that makes the call
    file: str = ""


@dataclass
class Function:
    address: int
    name: str
    calls: set = field(default_factory=set)  # addresses of functions
    leaves: set = field(default_factory=set)  # names of functions of other libraries
    pointers: list = field(default_factory=list)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def plain(name: str) -> str:
    """A demangled name without what thunks and parts of functions add to it."""
    return re.sub(r"^(non-)?virtual thunk to ", "", re.sub(r" \[clone [^]]*\]", "", name))


def method(name: str) -> str:
    """The last word of a demangled function's name: `copy` of `sluice::Device::copy(int)`."""
    text = plain(name).replace("(anonymous namespace)", "_")
    depth, end = 0, len(text)
    for at, letter in enumerate(text):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            end = at
            break
    return text[:end].rsplit("::", 1)[-1]


class CallGraph:
    def __init__(self, program: Path, root: Path):
        self.program, self.root, self.sources = program, root, {}
        self.functions: dict[int, Function] = {}
        self._read_code(output("objdump", "-d", "-C", "--no-show-raw-insn", program))
        self.virtual = self._virtual_functions()

    def _read_code(self, text: str):
        branches, current = [], None
        for line in text.splitlines():
            if found := HEADER.match(line):
                current = Function(int(found[1], 16), found[2])
                self.functions[current.address] = current
            elif current and (found := BRANCH.match(line)):
                branches.append((current, int(found[1], 16), found[2], found[3]))
        starts = sorted(self.functions)
        by_name = {plain(each.name): each.address for each in self.functions.values()}
        for function, address, operation, to in branches:
            if direct := DIRECT.match(to):
                if direct[2].endswith("@plt"):
                    name = direct[2].removesuffix("@plt")
                    own = by_name.get(name)  # an exported function of this very library
                    function.leaves.add(name) if own is None else function.calls.add(own)
                else:
                    function.calls.add(starts[bisect.bisect_right(starts, int(direct[1], 16)) - 1])
            elif to.startswith("*"):
                slot = SLOT.match(to)
                function.pointers.append(Pointer(address, int(slot[1] or "0", 16) // 8 if slot else None))

    def _virtual_functions(self):
        """Name -> {(slot, address)} of all tables of virtual functions."""
        relocations = {}
        for found in RELOCATION.finditer(output("readelf", "-rW", self.program)):
            relocations[int(found[1], 16)] = (int(found[3], 16), found[4] or "")
        result = {}
        for line in output("readelf", "-sW", self.program).splitlines():
            found = SYMBOL.match(line)
            if not found or not found[4].startswith("_ZTV"):
                continue
            begin, slot = int(found[1], 16), 0
            for word in range(begin, begin + int(found[2], 0), 8):
                target, name = relocations.get(word, (0, "_ZTI"))
                if name.startswith("_ZTI") or (not name and target not in self.functions):
                    slot = 0  # the words between two tables: an offset, and the type
                    continue
                if target in self.functions:
                    result.setdefault(method(self.functions[target].name), set()).add((slot, target))
                slot += 1
        return result

    def defined_in(self, suffix: str):
        """The functions of sources whose names end so, as the debug information tells."""
        for line in output("nm", "-l", "--defined-only", self.program).splitlines():
            symbol, _, place = line.partition("\t")
            if place.rsplit(":", 1)[0].endswith(suffix) and symbol.split()[1] in "tTwW":
                yield int(symbol.split()[0], 16)

    def _line(self, place: str):
        """The text of a line and its file, below the root."""
        found = re.match(r".*?/((?:src|include)/[^:]*):(\d+)", place.replace("/../", "/"))
        path = Path(found[1]) if found else Path(place.split(":")[0])
        file = self.root / path if found else path
        if file not in self.sources:
            self.sources[file] = file.read_text().splitlines() if file.is_file() else []
        number = int(found[2]) if found else int(re.match(r"\d+", place.rsplit(":", 1)[-1] or "0")[0] or 0)
        lines = self.sources[file]
        return (lines[number - 1].strip() if 0 < number <= len(lines) else ""), f"{path}:{number}"

    def find_lines(self, pointers):
        """Fills in the lines of calls through pointers."""
        missing = [each for each in pointers if not each.file]
        if not missing:
            return
        told = output("addr2line", "-i", "-a", "-e", self.program, *(hex(each.address) for each in missing))
        # For each address its own line, then those of the calls that it was inlined through, the innermost first.
        for pointer, places in zip(missing, re.split(r"^0x[0-9a-f]+$", told, flags=re.MULTILINE)[1:]):
            lines = [self._line(place) for place in places.split("\n") if place and "?" not in place] or [("", "?")]
            pointer.line, pointer.file = next((each for each in lines if each[0]), lines[0])

    def overriders(self, pointer: Pointer):
        """The virtual functions that the line of the call names, in its slot."""
        named = re.findall(r"\b(\w+)\(", pointer.line)
        return {address for name in named for slot, address in self.virtual.get(name, ())
                if pointer.slot is None or slot == pointer.slot}  # fmt: skip

    def reached(self, begin, step):
        """What is reached from these functions: address -> the one that calls it. `step(function)` gives the next ones."""
        came_from = dict.fromkeys(begin)
        wave = list(came_from)
        while wave:
            self.find_lines([pointer for address in wave for pointer in self.functions[address].pointers])
            following = []
            for address in wave:
                for callee in step(self.functions[address]):
                    if callee not in came_from:
                        came_from[callee] = address
                        following.append(callee)
            wave = following
        return came_from

    def path(self, came_from, address):
        """The names from where it began to this function."""
        names = []
        while address is not None:
            names.append(self.functions[address].name)
            address = came_from[address]
        return names[::-1]
