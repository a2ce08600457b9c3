"""The driver's answers to calls that allocate, beside those of the layer above it: what the driver takes, the layer must take.

    allocations_support.py PROGRAM

Every pointer of the layer is aligned as asked, whatever the driver does. The driver is chosen by the environment; without it the test
skips (77).
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path


def answers(command):
    ended = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    if ended.returncode != 0:
        sys.exit(f"{command}: status {ended.returncode}:\n{ended.stdout[-3000:]}")
    return dict(line.rsplit(": ", 1) for line in ended.stdout.splitlines() if " alignment " in line)


def main():
    program = sys.argv[1]
    vendor = Path(os.environ["OCL_ICD_VENDORS"])
    if not vendor.exists():
        print(f"skipped: there is no {vendor}; scripts/install_packages test installs the drivers")
        sys.exit(77)
    native = answers([program])
    ours = answers([os.environ["SLUICE_TOOL"], "run", "--opencl", "--", program])
    if not native or not set(native) <= set(ours):
        sys.exit(f"{len(native)} calls of the driver, {len(ours)} of the layer")
    for (kind, driver, layer), number in sorted(Counter((c.split()[0], native.get(c, "-"), ours[c]) for c in ours).items()):
        print(f"{kind:8} driver {driver:12} layer {layer:12} {number:4} calls")
    wrong = [call for call in ours if ours[call] != "aligned" and native.get(call, "aligned") in ("aligned", "not aligned")]
    print("\n".join(f"{call}: driver {native.get(call, '-')}, layer {ours[call]}" for call in wrong))
    sys.exit(1 if wrong else 0)


main()
