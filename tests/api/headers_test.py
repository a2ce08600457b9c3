"""Each public header compiles alone, as a user's first include: C++20 with g++, sluice.h and the kernel headers also as C11. Warnings
are errors, because they would be warnings in every program that uses Sluice; clang looks for its own in one source that includes all
headers, since which headers a header lacks does not depend on the compiler."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
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


def main():
    include = Path(sys.argv[1]) / "include"
    headers = sorted(path.relative_to(include) for path in include.rglob("*") if path.suffix in {".h", ".hpp"})
    of_c = [header for header in headers if header.suffix == ".h"]
    jobs = [("g++", "c++", include, [header]) for header in headers] + [("gcc", "c", include, [header]) for header in of_c]
    jobs += [(clang(language), language, include, all_of_it) for language, all_of_it in (("c++", headers), ("c", of_c)) if clang(language)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for failure in pool.map(lambda job: compiles(*job), jobs) if failure]
    print(*failures, sep="\n")
    print(f"{len(jobs)} compilations of {len(headers)} headers, {len(failures)} failed")
    sys.exit(1 if failures or not jobs else 0)


main()
