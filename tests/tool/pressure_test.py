"""`sluice stress` while Linux takes page-table entries and pages away: no byte is wrong and nothing hangs

- in a memory group that may have half of what the run needs, with swap;
- with khugepaged at full speed, which collapses pages of managed memory into huge ones and splits them again;
- in both, under random advice (DONTNEED, PAGEOUT, COLLAPSE) of a thread of its own, and of this process (process_madvise) to the
  view of the program.

What the machine does not allow is left out, with the reason; the advice that Linux refused is printed, with how often it did.
"""

import ctypes
import errno
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tool_support import Tool

ZERO = ("wrong_bytes", "hangs", "leaks", "violations", "unexpected_errors")
SIZES = ["--threads", "3", "--devices", "2", "--working-set", "48MiB", "--budget", "12MiB"]
SECONDS = 10
PAGE, BLOCK = 4096, 2 << 20
ADVICE = {"DONTNEED": 4, "PAGEOUT": 21, "COLLAPSE": 25}
SYS_PIDFD_OPEN, SYS_PROCESS_MADVISE = 434, 440  # of every architecture
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


class Missing(Exception):
    """The machine does not allow a setting."""


class Part(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Adviser:
    """Gives random advice to the managed memory of a process, from outside, while that runs."""

    def __init__(self, process: int, seed: int):
        self.counts = {name: {} for name in ADVICE}
        self._process, self._random = process, random.Random(seed)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self):
        self._stop.set()
        self._thread.join()
        return self.counts

    def _run(self):
        descriptor = self._libc.syscall(SYS_PIDFD_OPEN, self._process, 0)
        if descriptor < 0:
            return
        views = []
        for turn in range(1_000_000):
            if self._stop.wait(0.002):
                break
            if turn % 100 == 0 or not views:
                views = self._views()
            if views:
                self._advise(descriptor, *self._random.choice(views))
        os.close(descriptor)

    def _views(self):
        """Where the program sees managed memory: the window of its addresses lies far below where Linux maps by itself."""
        try:
            lines = Path(f"/proc/{self._process}/maps").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return []
        spans = ([int(end, 16) for end in line.split()[0].split("-")] for line in lines if "memfd:sluice" in line)
        return [(begin, end) for begin, end in spans if end < 0x7000_0000_0000]

    def _advise(self, descriptor, begin, end):
        name = self._random.choice(sorted(ADVICE))
        unit = BLOCK if name == "COLLAPSE" else PAGE  # a huge page comes of a whole block
        first = self._random.randrange(begin // unit, -(-end // unit)) * unit
        last = first + unit * (1 << self._random.randrange(11))
        part = Part(max(first, begin), min(last, end) - max(first, begin))
        answer = self._libc.syscall(SYS_PROCESS_MADVISE, descriptor, ctypes.byref(part), ctypes.c_size_t(1), ADVICE[name], 0)
        word = "followed" if answer >= 0 else errno.errorcode[ctypes.get_errno()]
        self.counts[name][word] = self.counts[name].get(word, 0) + 1


def stress(tool: Tool, what: str, *options, enter=None, seconds=SECONDS):
    """A run under advice. `enter` is done in the process before it starts."""
    command = [tool.path, "stress", "--seconds", str(seconds), *SIZES, *options, "--entry-drops", "1000", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, preexec_fn=enter) as running:
        adviser = Adviser(running.pid, 4711)
        try:
            out, err = running.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            running.kill()
            out, err = running.communicate()
        outside = adviser.end()
    text = out.decode(errors="replace")
    if running.returncode != 0:
        tool.expect(False, f"{what}: ended with {running.returncode}:\n{text[-6000:]}{err.decode(errors='replace')[-2000:]}")
        return
    result = tool.parse(text)
    for field in ZERO:
        tool.expect(result[field] == 0, f"{what}: {field} is {result[field]}: {result['findings']}")
    tool.expect(result["operations"] > 0 and result["entry_drops"] > 0, f"{what}: nothing was done: {result}")
    print(f"{what}: {result['operations']} operations, seed {result['seed']}\n  advice from inside: {result['advice']}\n  from outside: {outside}")


@contextmanager
def swap(room: int, folder: Path):
    """Swap that is there, or a file of it, taken away afterwards."""
    lines = Path("/proc/swaps").read_text().splitlines()[1:]
    if any(int(line.split()[2]) - int(line.split()[3]) > room >> 10 for line in lines):
        yield
        return
    file = folder / "pressure-test-swap"
    subprocess.run(["swapoff", file], capture_output=True)  # of a run that was killed
    file.unlink(missing_ok=True)
    if shutil.disk_usage(folder).free < 2 * room:
        raise Missing(f"no room for a swap file of {room >> 20} MiB in {folder}")
    try:
        begin_swap(file, room)
        yield
    finally:
        subprocess.run(["swapoff", file], capture_output=True)
        file.unlink(missing_ok=True)


def begin_swap(file: Path, room: int):
    try:
        with open(file, "wb") as made:
            os.posix_fallocate(made.fileno(), 0, room)
        os.chmod(file, 0o600)
        for command in ("mkswap", "swapon"):
            subprocess.run([command, file], capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as refused:
        raise Missing(f"{refused.cmd[0]} says: {refused.stderr.strip()}; add swap, or build on a file system that takes swap files") from refused
    except OSError as refused:
        raise Missing(f"no swap file can be made: {refused}") from refused


class MemoryGroup:
    """Of version 2, or of version 1, which has no memory.high: there a thread does what that does, and asks for memory back above it."""

    FILES = ("memory.high", "memory.current", "memory.peak"), ("memory.force_empty", "memory.usage_in_bytes", "memory.max_usage_in_bytes")

    def __init__(self):
        for root in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
            self.path = root / f"sluice-pressure-{os.getpid()}"
            try:
                self.path.mkdir()
            except OSError:
                continue
            for files in self.FILES:
                if all((self.path / file).exists() for file in files):
                    self._reclaim, self._usage, self.peak = (self.path / file for file in files)
                    return
            self.path.rmdir()
        raise Missing("no memory group can be made: run as root where /sys/fs/cgroup may be written and has the memory controller")

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    @contextmanager
    def reclaiming_above(self, high: int):
        if self._reclaim.name == "memory.high":
            self._reclaim.write_text(str(high))
            yield
            return
        stop = threading.Event()

        def reclaim():
            while not stop.wait(0.05):
                if int(self._usage.read_text()) > high:
                    try:
                        self._reclaim.write_text("1")
                    except OSError:  # interrupted, or not all could be reclaimed
                        pass

        thread = threading.Thread(target=reclaim)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def remove(self):
        """Processes leave it some time after their end."""
        for _ in range(600):
            try:
                return self.path.rmdir()
            except OSError:
                time.sleep(0.1)
        return None


def count_of_linux(name: str):
    return int(dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines()).get(name, 0))


def run_with_half_the_memory(tool: Tool, build: Path):
    with ExitStack() as stack:
        group = MemoryGroup()
        stack.callback(group.remove)
        stack.enter_context(swap(1 << 30, build))
        stress(tool, "to learn what it needs", enter=group.enter, seconds=2)
        needed = int(group.peak.read_text())
        before = count_of_linux("pswpout")
        with group.reclaiming_above(needed // 2):
            stress(tool, f"with {needed >> 21} of {needed >> 20} MiB", enter=group.enter)
        swapped = count_of_linux("pswpout") - before
        print(f"  {swapped} pages swapped out")
        tool.expect(swapped > 0, "nothing was swapped out, so this shows nothing")


@contextmanager
def settings(values):
    """Writes them, and in the end what was there."""
    before = {}
    try:
        for file, value in values.items():
            try:
                text = file.read_text()
                file.write_text(value)
            except OSError as refused:
                raise Missing(f"{refused}; run as root where {HUGE_PAGES} may be written") from refused
            before[file] = text[text.index("[") + 1 : text.index("]")] if "[" in text else text.strip()
        yield
    finally:
        for file, value in before.items():
            file.write_text(value)


def run_with_khugepaged(tool: Tool):
    busy = {
        HUGE_PAGES / "shmem_enabled": "always",
        HUGE_PAGES / "khugepaged/scan_sleep_millisecs": "0",
        HUGE_PAGES / "khugepaged/alloc_sleep_millisecs": "0",
        HUGE_PAGES / "khugepaged/pages_to_scan": "100000",
    }
    scans = HUGE_PAGES / "khugepaged/full_scans"
    with settings(busy):
        before, collapsed_before = int(scans.read_text()), count_of_linux("thp_collapse_alloc")
        stress(tool, "with khugepaged at full speed", "--host-pages", "transparent")
        print(f"  {count_of_linux('thp_collapse_alloc') - collapsed_before} huge pages made of small ones")
        tool.expect(int(scans.read_text()) > before, "khugepaged did nothing, so this shows nothing")


def main():
    tool = Tool()
    missing = []
    for part in (lambda: run_with_half_the_memory(tool, Path(sys.argv[2])), lambda: run_with_khugepaged(tool)):
        try:
            part()
        except Missing as why:
            print("not tried:", why)
            missing.append(why)
    if len(missing) == 2 and not tool.complaints:
        sys.exit(77)
    tool.conclude()


main()
