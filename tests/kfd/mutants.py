"""The suite of the contract of /dev/kfd must find each bug of tests/mutants/kfd/."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(sys.argv[1]) / "tests"))
from suite_mutants_support import kill_all

kill_all("kfd", 30)
