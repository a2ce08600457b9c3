"""Each public header compiles alone, as a user's first include: C++20 with g++, sluice.h and the kernel headers also as C11. Warnings
are errors, because they would be warnings in every program that uses Sluice; clang looks for its own in one source that includes all
headers, since which headers a header lacks does not depend on the compiler.
And the one type that crosses libraries of a program, that of the exception of value(), is visible in each."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
STANDARDS = {"c++": "-std=c++20", "c": "-std=c11"}


def clang(language):
    names = ["clang++-19", "clang++"] if language == "c++" else ["clang-19", "clang"]
    return next((name for name in names if shutil.which(name)), None)


def compiles(compiler, language, include, headers):
    # Twice: a header must also be its own guard.
    text = "".join(f'#include "{header}"\n' for header in [*headers, *headers])
    command = [compiler, "-x", language, STANDARDS[language], *WARNINGS, f"-I{include}", "-fsyntax-only", "-"]
    result = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if result.returncode == 0 else f"{compiler} {STANDARDS[language]} {' '.join(map(str, headers))}:\n{result.stdout}"


THROWS = """
#include "sluice/result.hpp"
int number(const sluice::Result<int>& result) try { return result.value(); }
catch (const tl::bad_expected_access<sluice::Error>&) { return 0; }
"""


def has_one_exception_type(include):
    """A library that hides all it can shows the type of the exception, so that all libraries of a program mean the same one."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = Path(folder) / "throws.o"
        command = ["g++", "-std=c++20", "-fvisibility=hidden", "-fvisibility-inlines-hidden", f"-I{include}", "-x", "c++", "-c", "-o", compiled, "-"]
        subprocess.run(command, input=THROWS, text=True, check=True)
        symbols = subprocess.run(["readelf", "-sW", compiled], capture_output=True, text=True, check=True).stdout
    of_type = [line for line in symbols.splitlines() if line.split()[-1:] == ["_ZTIN2tl19bad_expected_accessIN6sluice5ErrorEEE"]]
    return None if of_type and all(" DEFAULT " in line for line in of_type) else f"the type of value()'s exception is hidden: {of_type}"


def main():
    include = Path(sys.argv[1]) / "include"
    headers = sorted(path.relative_to(include) for path in include.rglob("*") if path.suffix in {".h", ".hpp"})
    of_c = [header for header in headers if header.suffix == ".h"]
    jobs = [("g++", "c++", include, [header]) for header in headers] + [("gcc", "c", include, [header]) for header in of_c]
    jobs += [(clang(language), language, include, all_of_it) for language, all_of_it in (("c++", headers), ("c", of_c)) if clang(language)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for failure in pool.map(lambda job: compiles(*job), jobs) if failure]
    failures += filter(None, [has_one_exception_type(include)])
    print(*failures, sep="\n")
    print(f"{len(jobs)} compilations of {len(headers)} headers, {len(failures)} failed")
    sys.exit(1 if failures or not jobs else 0)


main()
