"""The OpenCL layer on Intel's driver: the reproducer passes below `--opencl` and `--opencl-preload`, in both of its modes, in each grade.

    layer_support.py SOURCE_DIR BUILD_DIR [--times N]

Kernels do not execute in the driver's capture mode, so results are not checked: it is shown that the layer's memory serves where the
driver's own would hand the program a fault. Run by root, it is shown for an ordinary user too.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from driver_support import make_caches, require_driver, run, skip

# In grade signal `sluice run` puts the guard around the program unasked.
GRADES = ("full", "user", "signal")


def ways(as_nobody):
    for mode in ([], ["svm"]):
        for way in ("--opencl", "--opencl-preload"):
            for grade in GRADES:
                if grade == "full" and as_nobody:
                    continue  # /dev/userfaultfd may be closed to others
                yield mode, way, grade


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("build", type=Path)
    parser.add_argument("--times", type=int, default=1)
    arguments = parser.parse_args()
    require_driver()
    build = arguments.build.resolve()
    sluice, reproducer = build / "bin" / "sluice", build / "tests" / "opencl" / "usm_reproducer"
    if not reproducer.exists():
        skip("usm_reproducer is not built: its source is looked for in ../shared/sources beside the repository")
    times = int(os.environ.get("SLUICE_INTEL_TIMES") or arguments.times)
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        make_caches(folder)
        users = [False]
        if os.geteuid() == 0 and run([sluice, "--version"], folder, True).returncode == 0:
            users.append(True)
        for as_nobody in users:
            for mode, way, grade in ways(as_nobody):
                good = 0
                for _ in range(times):
                    ended = run([sluice, "run", way, "--", reproducer, *mode], folder, as_nobody, SLUICE_GRADE=grade)
                    if ended.returncode == 0 and "TEST PASSED" in ended.stdout:
                        good += 1
                    else:
                        wrong.append(f"{mode} {way} {grade}: status {ended.returncode}:\n{ended.stdout[-3000:]}")
                user = "nobody" if as_nobody else "this user"
                print(f"{(mode or ['usm'])[0]:4} {way:16} grade {grade:7} {user:10} passes {good} of {times}", flush=True)
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


main()
