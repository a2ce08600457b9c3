"""The contract suite of mappings must find each bug of tests/mutants/mapping/."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(sys.argv[1]) / "tests"))
from suite_mutants_support import kill_all

kill_all("mapping", 10)
