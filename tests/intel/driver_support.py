"""Intel's driver in its capture mode: what the scripts of this area share.

In that mode the driver writes its command buffers to a file instead of a GPU. Kernels do not execute; allocation, protection, the
page-fault manager and its SIGSEGV handler are those of every day. dg1 is a GPU with memory of its own, where the driver migrates.
"""

import os
import subprocess
import sys
from pathlib import Path

CAPTURE = {
    "NEOReadDebugKeys": "1",
    "SetCommandStreamReceiver": "1",
    "ProductFamilyOverride": "dg1",
    "AUBDumpCaptureFileName": "/dev/null",
    "OCL_ICD_VENDORS": "/etc/OpenCL/vendors/intel.icd",
}
LIBRARIES = {
    "level_zero": "/usr/lib/x86_64-linux-gnu/libze_intel_gpu.so.1",
    "opencl": "/usr/lib/x86_64-linux-gnu/intel-opencl/libigdrcl.so",
}
# Where the driver looks for what it compiled before: a run then costs a third.
CACHES = ("cl_cache", "l0_c_cache")
NOBODY = 65534


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def require_driver():
    missing = [library for library in LIBRARIES.values() if not Path(library).exists()]
    if missing:
        skip(f"there is no {' and no '.join(missing)}; scripts/install_packages intel installs Intel's driver")


def make_caches(folder):
    for cache in CACHES:
        (Path(folder) / cache).mkdir(mode=0o777)
        (Path(folder) / cache).chmod(0o777)
    Path(folder).chmod(0o777)


def run(command, folder, as_nobody=False, timeout=300, **environment):
    """What it printed and how it ended, run in `folder`. Variables that are None are taken away."""
    variables = {**os.environ, **CAPTURE, **environment}
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_nobody else {}
    if as_nobody:
        variables["HOME"] = str(folder)
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env={name: value for name, value in variables.items() if value is not None},
        **user,
    )
