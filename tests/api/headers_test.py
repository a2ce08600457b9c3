"""Each public header compiles alone, as a user's first include: C++20 with g++ and clang++, sluice.h and the kernel headers also
as C11. Warnings are errors, because they would be warnings in every program that uses Sluice."""

import concurrent.futures
import os
import shutil
import subprocess
import sys
from pathlib import Path

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror"]
CXX_COMPILERS = ["g++", "clang++-19", "clang++"]
C_COMPILERS = ["gcc", "clang-19", "clang"]


def found(compilers):
    """GCC, and the first clang there is."""
    clang = next((name for name in compilers[1:] if shutil.which(name)), None)
    return [name for name in (compilers[0], clang) if name and shutil.which(name)]


def compiles(compiler, language, standard, include, header):
    # Twice: a header must also be its own guard.
    text = f'#include "{header}"\n' * 2
    command = [compiler, "-x", language, standard, *WARNINGS, f"-I{include}", "-fsyntax-only", "-"]
    result = subprocess.run(command, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if result.returncode == 0 else f"{compiler} {standard} {header}:\n{result.stdout}"


def main():
    include = Path(sys.argv[1]) / "include"
    headers = sorted(path.relative_to(include) for path in include.rglob("*") if path.suffix in {".h", ".hpp"})
    jobs = [(compiler, "c++", "-std=c++20", include, header) for header in headers for compiler in found(CXX_COMPILERS)]
    jobs += [(compiler, "c", "-std=c11", include, header)
             for header in headers if header.suffix == ".h" for compiler in found(C_COMPILERS)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for failure in pool.map(lambda job: compiles(*job), jobs) if failure]
    print(*failures, sep="\n")
    print(f"{len(jobs)} compilations of {len(headers)} headers, {len(failures)} failed")
    sys.exit(1 if failures or not jobs else 0)


main()
