"""The models find what they are there to find: each constant of a model that makes the protocol wrong, set to true by itself, must
lead rumur to an error. A constant that changes nothing would mean that the model does not see that mistake."""

import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PLANTED = re.compile(r"^  (\w+): false;", re.MULTILINE)


def finding(model: str, name: str, folder: Path) -> str | None:
    """What rumur says about the model with one constant set, or None where it finds nothing."""
    source, verifier, program = folder / f"{name}.m", folder / f"{name}.c", folder / name
    source.write_text(model.replace(f"  {name}: false;", f"  {name}: true;"))
    subprocess.run(["rumur", "--threads", "1", "--output", verifier, source], check=True)
    # As tests/CMakeLists.txt builds the model itself, but in less time: an error is found early.
    subprocess.run(["cc", "-O1", "-mcx16", "-w", "-o", program, verifier, "-lpthread"], check=True)
    run = subprocess.run([program], capture_output=True, text=True)
    if run.returncode == 0:
        return None
    lines = [line.strip() for line in run.stdout.splitlines() if "failed" in line or "deadlock" in line.lower()]
    return lines[0] if lines else run.stdout[-500:]


def main():
    planted = []
    for path in sorted((Path(sys.argv[1]) / "tests/model").glob("*.m")):
        model = path.read_text()
        names = PLANTED.findall(model)
        assert names, f"{path.name} has no constants to set"
        planted += [(model, name) for name in names]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(lambda each: finding(*each, Path(folder)), planted))
    for (_, name), what in zip(planted, found):
        print(f"{name}: {what or 'NOT FOUND'}")
    sys.exit(0 if all(found) else 1)


main()
