"""Strict mode is on by default in the demo, in every example and in the tests of engine and api, so that launches there name what they use."""

import json
import re
import subprocess
import sys
from pathlib import Path

from house_support import conclude

OPENS = re.compile(r"Space::open\(|sluice_space_open\(")
STRICT = re.compile(r"\.strict = (?:sluice::)?(?:Strict::report|SLUICE_STRICT_REPORT)|space_options\.strict = Strict::report")


def offences_in_sources(root: Path):
    sources = [*sorted((root / "examples").glob("*.c*")), root / "tools/sluice/demo/demo.cc"]
    opening = [path for path in sources if OPENS.search(path.read_text())]
    assert len(opening) > 5, opening
    return [f"{path.relative_to(root)} opens a space without strict mode" for path in opening if not STRICT.search(path.read_text())]


def offences_in_tests(build: Path):
    listed = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True, check=True).stdout
    tests = [test for test in json.loads(listed)["tests"] if re.match(r"(engine|api)\.", test["name"])]
    assert tests
    for test in tests:
        properties = {one["name"]: one["value"] for one in test.get("properties", [])}
        is_program = "_test" in Path(test.get("command", [""])[0]).name or test["name"].endswith("ordinary_user")
        if is_program and "SLUICE_STRICT=stop" not in properties.get("ENVIRONMENT", []):
            yield f"{test['name']} runs without strict mode"


def main():
    root, build = Path(sys.argv[1]), Path(sys.argv[2])
    offences = [*offences_in_sources(root), *offences_in_tests(build)]
    conclude(offences[:20], 2)


main()
