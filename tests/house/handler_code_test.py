"""Code that runs in a signal handler neither allocates nor locks: checked in the machine code of what was built, through every call.

Two rules (ARCHITECTURE.md, "Rules of the fault path"):

- Functions of *_in_handler.cc, and all that they call, call nothing outside but LEAVES.
- In grade `signal` a handler answers an access of the host by the engine itself, and in a device's process by the page table. What lies
  behind these DOORS may also call LOCKS, and nothing else: no thread touches managed memory while it holds one of these mutexes.

A call that is in neither list is an offence, told with the way to it. A call through a pointer must be one of a virtual function, or be
named in POINTERS. The test first checks itself: it builds a library whose handlers make every kind of forbidden call, and must find each.
Drivers answer for themselves: OpenCL's allocate for each copy, whatever we do.
"""

import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from call_graph_support import CallGraph, plain
from house_support import conclude
from tree_support import skip

PROGRAMS = ["lib/libsluice.so", "lib/libsluice-opencl.so", "lib/libsluice-guard.so", "libexec/sluice/sluice-soft-device"]

# Each is a system call and no more, or works on memory that it is given.
LEAVES = {
    "system calls": "close fallocate fcntl fstat getauxval getpid gettid ioctl kill madvise mmap mprotect munmap name_memory nanosleep "
                    "poll sched_yield select sendmsg shutdown sigaction sigaltstack syscall write __errno_location",
    "the clock": "std::chrono::_V2::steady_clock::now()",
    "a word of the thread's own": "pthread_self",
    "bytes and bits": "memcpy memmove memset memcmp strlen strstr __popcountdi2",
    "text into a buffer of the caller's, without stdio": "snprintf vsnprintf",
    "constant text": "strerrorname_np strerrordesc_np sigdescr_np",
    "the environment, which the library never changes": "secure_getenv",
    "the end": "abort _exit siglongjmp",
    "the next node of a tree": "std::_Rb_tree_decrement(std::_Rb_tree_node_base*) std::_Rb_tree_increment(std::_Rb_tree_node_base*) "
                             "std::_Rb_tree_decrement(std::_Rb_tree_node_base|const*)",
    "clean-up behind an exception, and none is thrown": "_Unwind_Resume",
    "a static variable that the opening of the first space has made": "__cxa_guard_acquire __cxa_guard_release",
}  # fmt: skip
LOCKS = {
    "mutexes that no thread holds while it touches managed memory":
        "pthread_mutex_lock pthread_mutex_unlock pthread_rwlock_rdlock pthread_rwlock_wrlock pthread_rwlock_unlock",
    "a mutex that cannot be locked, which is a bug": "std::__throw_system_error(int)",
}  # fmt: skip
DOORS = [
    r"^sluice::fault::SignalSource::answer\(",
    r"^sluice::device::soft::process::PageTable::(admit|widen_limits)\(",
]

# Calls that are in the code and not made in a handler: the caller, the function, and why.
NOT_MADE = [
    (r"in_handler::hear_segmentation_faults\(", r"^dlsym$", "when a space is opened"),
    (r"CudaDevice::update_mappings\(", r"PinnedHost::(map|leave)\(", "for host ranges, where no access faults"),
    (r"", r"^.*& sluice::os::per_process<", "the first space, or device, has made it"),
    (r"SoftDevice::inject_fault\(", r"Child::kill|_M_release", "a death that a test has planned"),
]

# Calls through pointers that are no virtual functions: the caller, the line of the source, the functions that the pointer leads to (none:
# code of others), and the reason why that is right.
POINTERS = [
    (r"", r"^switch \(", None, "a table of jumps"),
    (r"sluice::device::", r"\bdriver_?\.\w+\(|^\(void\)error_name\(", None, "CUDA's driver, which answers for itself"),
    (r"CudaDevice::", r"\bholder->end_soon\(", None, "the CUDA face's, which calls CUDA's driver"),
    (r"sluice::device::opencl::", r"\bdriver_\.calls->\w+\(", None, "OpenCL's driver, likewise"),
    (r"PinnedBlocks::make_memory\(", r"\bhost_\.populate\(", r"_Function_handler<void \(sluice::AddressSpan\)", "set by the engine"),
    (r"PinnedBlocks::(pin|make_memory)\(", r"\bhost_\.view_at\(", r"_Function_handler<sluice::AddressSpan \(sluice::Address\)", "set by the engine"),
    (r"SoftDevice::", r"\bhost_\.file_at\(", r"_Function_handler<int \(sluice::Address\)", "set by the engine"),
    (r"SoftDevice::inject_fault\(", r"\bchild\(\)", None, "a death that a test has planned"),
    (r"hear_segmentation_faults\(", r"\benter\(", None, "the guard's, when a space is opened"),
    (r"in_handler::begin_handler\(", r"^asm volatile", None, "the program's own handler"),
    (r"in_handler::call_on_own_stack\(", r"^asm volatile", r"::in_handler::\(anonymous namespace\)::ask\(", "its argument"),
    (r"guard::.*call_function\(", r"\bfunction_of\(", None, "the program's own handler"),
    (r"guard::ask_drivers\(", r"\banswer\(", None, "the driver's handler"),
]
CALLS = re.compile(r"\bcalls\(\)\.(\w+)\(")  # os::Calls, functions of libc by name

PLANTED = """
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include "planted_elsewhere.hpp"
std::mutex mutex;
Base* kept = make_derived();
extern "C" {
void* calls_malloc(std::size_t size) { return std::malloc(size); }
int* calls_new() { return new int(1); }
void calls_function(long a, long b, long c) { take([=] { return a + b + c; }); }
void calls_lock() { const std::lock_guard lock(mutex); }
void calls_stdio() { std::fprintf(stderr, "%d", elsewhere); }
void calls_override(Base& base) { base.answer(); }
void calls_pointer(void (*unknown)()) { unknown(); ++elsewhere; }
void calls_far() { far_away(3); }
int calls_nothing(int a) { return a + 1; }
}
"""
ELSEWHERE = """
#pragma once
#include <cstdlib>
#include <functional>
inline int elsewhere = 0;
inline void* elsewhere_too = nullptr;
struct Base { virtual void answer() = 0; };
struct Derived final : Base { void answer() override { std::free(elsewhere_too); } };
inline Base* make_derived() { static Derived one; return &one; }
[[gnu::noinline]] inline void take(std::function<long()> one) { elsewhere += static_cast<int>(one()); }
[[gnu::noinline]] inline void nearer(int n) { std::exit(n); }
[[gnu::noinline]] inline void far_away(int n) { nearer(n + elsewhere); ++elsewhere; }
"""
FOUND = {
    "calls_malloc": "malloc", "calls_new": "operator new(unsigned long)", "calls_function": "operator new(unsigned long)",
    "calls_lock": "pthread_mutex_lock", "calls_stdio": "fprintf", "calls_override": "free", "calls_pointer": "pointer", "calls_far": "exit",
}  # fmt: skip


def words(groups):
    return {word.replace("|", " ") for text in groups.values() for word in text.split()}


class Examination:
    """The offences of one program. `used` collects the rows of the tables that were needed."""

    def __init__(self, graph: CallGraph, used: set):
        self.graph, self.used = graph, used
        self.unknown = {}  # address of the caller -> calls through pointers that lead nowhere known

    def is_made(self, caller, name: str) -> bool:
        for row in NOT_MADE:
            if re.search(row[0], caller.name) and re.search(row[1], name):
                self.used.add(row)
                return False
        return True

    def follow(self, caller, pointer):
        """The functions that a call through a pointer leads to."""
        if libc := CALLS.search(pointer.line):
            caller.leaves.add(libc[1])
            return set()
        for row in POINTERS:
            if re.search(row[0], caller.name) and re.search(row[1], pointer.line):
                self.used.add(row)
                return {each.address for each in self.graph.functions.values() if row[2] and re.search(row[2], each.name)}
        targets = self.graph.overriders(pointer)
        if not targets:
            self.unknown.setdefault(caller.address, set()).add((pointer.file, pointer.line))
        return targets

    def step(self, caller):
        targets = set(caller.calls)
        for pointer in caller.pointers:
            targets |= self.follow(caller, pointer)
        return {each for each in targets if self.is_made(caller, self.graph.functions[each].name)}

    def doors(self):
        return {each.address for each in self.graph.functions.values() if any(re.search(door, plain(each.name)) for door in DOORS)}

    def offences(self, begin, allowed, doors):
        reached = self.graph.reached(begin, lambda caller: set() if caller.address in doors else self.step(caller))
        for address in reached.keys() - doors:
            caller = self.graph.functions[address]
            way = " > ".join(re.sub(r"\(.*", "", plain(name)) for name in self.graph.path(reached, address))
            for leaf in sorted(caller.leaves - allowed):
                if self.is_made(caller, leaf):
                    yield f"{way} > {leaf}"
            for file, line in sorted(self.unknown.get(address, ())):
                yield f"{way} > a pointer that leads somewhere unknown, at {file}: {line}"

    def all_offences(self):
        begin = set(self.graph.defined_in("_in_handler.cc"))
        doors = self.doors()
        if not begin:
            yield "no function of a *_in_handler.cc: is it built without debug information?"
        yield from self.offences(begin - doors, words(LEAVES), doors)
        yield from self.offences(doors, words(LEAVES) | words(LOCKS), set())


def check_itself():
    """Every planted call is found, and nothing where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src" / "planted_in_handler.cc"
        source.parent.mkdir()
        source.write_text(PLANTED)
        (source.parent / "planted_elsewhere.hpp").write_text(ELSEWHERE)
        library = Path(folder) / "planted.so"
        subprocess.run(["c++", "-std=c++20", "-O1", "-g", "-fPIC", "-shared", "-o", library, source], check=True)
        told = list(Examination(CallGraph(library, Path(folder)), set()).all_offences())
    for function, call in FOUND.items():
        if not any(each.startswith(function + " ") and call in each.rsplit(" > ", 1)[-1] for each in told):
            yield f"the test does not find what {function} does; it says: {told}"
    yield from (f"nothing is wrong with this: {each}" for each in told if each.startswith("calls_nothing"))


def main():
    root, build = Path(sys.argv[1]), Path(sys.argv[2])
    if platform.machine() != "x86_64":
        skip("it reads the machine code of x86-64")
    if "CMAKE_BUILD_TYPE:STRING=RelWithDebInfo" not in (build / "CMakeCache.txt").read_text():
        skip("it reads the code of the release tree, which is optimized and tells its lines")
    offences, used = list(check_itself()), set()
    for program in PROGRAMS:
        offences += (f"{program}: {each}" for each in Examination(CallGraph(build / program, root), used).all_offences())
    offences += (f"the tables name what is no longer there: {row}" for row in [*NOT_MADE, *POINTERS] if row not in used)
    conclude(sorted(set(offences)), len(PROGRAMS))


main()
