"""Runs a program on Intel's real driver, alone and under `sluice run --guard`, on both of the driver's interfaces, and counts.

    run_support.py SOURCE_DIR BUILD_DIR [--times N] [--ordinary-user] PROGRAM...

Alone it must end as a program does that gets the driver's faults itself, unless the table says that it has no reason to; under the guard
it must be right, and a real crash must still be the program's to report. SLUICE_INTEL_TIMES overrides N. It skips (77) in words where
the driver or the program is missing.
"""

import argparse
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from driver_support import LIBRARIES, make_caches, require_driver, run, skip

CRASHED = -11
# Grades are those of Sluice's own memory. The driver's memory is not that, so they must change nothing here; guarded runs take turns.
GRADES = ("signal", "user", "full")


@dataclass
class Ending:
    status: int
    text: str = ""

    def __str__(self):
        return f"status {self.status}" + (f" and '{self.text}'" if self.text else "")


@dataclass
class Program:
    command: list
    guarded: Ending
    alone: Ending
    crash: list = field(default_factory=list)  # the command of its real crash
    reported: str = ""  # what it then says
    interfaces: tuple = tuple(LIBRARIES)
    package: str = ""


def read_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("build", type=Path)
    parser.add_argument("--times", type=int, default=2)
    parser.add_argument("--ordinary-user", action="store_true")
    parser.add_argument("programs", nargs="+")
    arguments = parser.parse_args()
    arguments.source = arguments.source.resolve()
    arguments.build = arguments.build.resolve()
    arguments.times = int(os.environ.get("SLUICE_INTEL_TIMES") or arguments.times)
    return arguments


def programs(source, build, interface, folder):
    """The table. Programs of tests/guard run unchanged: the library of the interface has the name of their stand-in driver."""
    guard = build / "tests" / "guard"
    third = source / "tests" / "guard" / "third_party"
    library = build / "tests" / "intel" / interface / "libstand-in-driver.so"
    reproducer = build / "tests" / "opencl" / "usm_reproducer"
    faulthandler = ["python3", third / "with_faulthandler.py", library]
    catch2, doctest = guard / "with_catch2", guard / "with_doctest"
    fault = "the program's handler got the driver's fault"
    gdb = ["gdb", "-nx", "-batch", "-ex", "set startup-with-shell off", "-ex", "handle SIGSEGV nostop noprint pass", "-ex", "run"]
    return {
        "reproducer": Program(
            [reproducer], Ending(0, "TEST PASSED"), Ending(1, "BUG REPRODUCED"), interfaces=("opencl",),
            package="the source ../shared/sources/usm_reproducer.cpp beside the repository"),
        # Coarse-grain SVM: the driver keeps a copy for the host, which it never protects.
        "reproducer_svm": Program(
            [reproducer, "svm"], Ending(0, "TEST PASSED"), Ending(0, "TEST PASSED"), interfaces=("opencl",),
            package="the source ../shared/sources/usm_reproducer.cpp beside the repository"),
        "five_steps": Program(
            [build / "tests" / "intel" / "five_steps_level_zero"], Ending(0, "PASSED"), Ending(1, "BUG"), interfaces=("level_zero",)),
        "steps": Program([guard / "guard-steps", "handler", "0"], Ending(0, "step 5"), Ending(1, fault)),
        "catch2": Program([catch2], Ending(0, "All tests passed"), Ending(CRASHED, "SIGSEGV"), [catch2, "a real crash"],
                          "SIGSEGV", package="catch2"),
        "doctest": Program([doctest], Ending(0, "SUCCESS"), Ending(CRASHED, "SIGSEGV"),
                           [doctest, "--no-skip", "--test-case=a real crash"], "SIGSEGV", package="doctest-dev"),
        "gtest": Program([guard / "with_gtest"], Ending(0, "[  PASSED  ] 4 tests."), Ending(CRASHED, "the program reports a crash"),
                         package="libgtest-dev"),
        "libsigsegv": Program([guard / "with_sigsegv"], Ending(0, "survived an overflow"), Ending(CRASHED), package="libsigsegv-dev"),
        "libunwind": Program([guard / "with_libunwind"], Ending(0, "fault_here 1 and main 1"), Ending(CRASHED),
                             package="libunwind-dev"),
        # Its crash is the end of the program.
        "backward": Program([guard / "with_backward"], Ending(CRASHED, "crash_here"), Ending(CRASHED, "Invalid permissions"),
                            package="libbackward-cpp-dev"),
        "faulthandler": Program(faulthandler, Ending(0, "right"), Ending(CRASHED, "Fatal Python error"),
                                [*faulthandler, "crash"], "Fatal Python error: Segmentation fault"),
        "ucx": Program(["python3", third / "with_ucx.py", library], Ending(0, "right"), Ending(CRASHED), package="libucx0"),
        # Java's handler is there before the driver's, which so stands in front without help, and passes on what is Java's.
        "java": Program(["java", "-Xss1m", "-cp", folder, "Managed", guard / "libmanaged-jni.so"],
                        Ending(0, "caught 20000 overflowed true right 201"), Ending(0, "caught 20000 overflowed true right 201"),
                        package="openjdk-17-jdk-headless"),
        "gdb": Program([*gdb, "--args", guard / "guard-steps", "handler", "0"], Ending(0, "exited normally"), Ending(0, fault),
                       package="gdb"),
    }


class Series:
    """Runs of one program on one interface."""

    def __init__(self, arguments, interface, folder):
        self.interface = interface
        self.folder = folder
        self.as_nobody = arguments.ordinary_user and os.geteuid() == 0
        self.guard = [arguments.build / "bin" / "sluice", "run", "--guard", "--"]
        self.libraries = str(arguments.build / "tests" / "intel" / interface)
        self.wrong = []

    def once(self, command, guarded, grade=None):
        command = [*(self.guard if guarded else []), *command]
        return run(command, self.folder, self.as_nobody, LD_LIBRARY_PATH=self.libraries, SLUICE_GRADE=grade)

    def count(self, command, ending, guarded, times):
        good = 0
        for turn in range(times):
            grade = GRADES[turn % len(GRADES)] if guarded else None
            ended = self.once(command, guarded, grade)
            if ended.returncode == ending.status and ending.text in ended.stdout:
                good += 1
            else:
                way = f"guarded, SLUICE_GRADE={grade}" if guarded else "alone"
                self.wrong.append(f"{self.interface}, {way}: status {ended.returncode}, wanted {ending}:\n{ended.stdout[-4000:]}")
        return f"{good} of {times}"


def missing(program):
    name = program.command[0]
    if isinstance(name, Path):
        return None if name.exists() else f"{name.name} is not built: it needs {program.package or 'Intel headers: scripts/install_packages intel'}"
    return None if shutil.which(name) else f"there is no {name}: apt install {program.package}"


def look_at(arguments, name, folder):
    """Rows of the table, and what was wrong."""
    wrong, seen = [], 0
    for interface in LIBRARIES:
        program = programs(arguments.source, arguments.build, interface, folder)[name]
        if interface not in program.interfaces:
            continue
        if lack := missing(program):
            print(f"{name:16} {interface:11} not tried: {lack}")
            continue
        series = Series(arguments, interface, folder)
        times = arguments.times
        if name == "ucx" and series.once(program.command, False).returncode == 77:
            print(f"{name:16} {interface:11} not tried: apt install {program.package}")
            continue
        seen += 1
        shows = "passes" if program.alone.status == 0 and program.alone.text == program.guarded.text else "shows the bug"
        row = f"alone: {shows} {series.count(program.command, program.alone, False, times)}"
        row += f"; guarded: right {series.count(program.command, program.guarded, True, times)}"
        if program.crash:
            row += f"; a crash is reported {series.count(program.crash, Ending(CRASHED, program.reported), True, times)}"
        print(f"{name:16} {interface:11} {row}", flush=True)
        wrong += [f"{name}, {line}" for line in series.wrong]
    return wrong, seen


def main():
    arguments = read_arguments()
    require_driver()
    wrong, seen = [], 0
    with tempfile.TemporaryDirectory() as folder:
        make_caches(folder)
        if "java" in arguments.programs and shutil.which("javac"):
            run(["javac", "-d", folder, arguments.source / "tests/guard/third_party/Managed.java"], folder)
        sluice = arguments.build / "bin" / "sluice"
        if arguments.ordinary_user and run([sluice, "--version"], folder, os.geteuid() == 0).returncode != 0:
            skip(f"an ordinary user cannot run {sluice}: the folders above it are closed to others")
        for name in arguments.programs:
            found, tried = look_at(arguments, name, folder)
            wrong += found
            seen += tried
    print("\n".join(wrong))
    if not seen:
        skip("nothing of it can run here")
    sys.exit(1 if wrong else 0)


main()
