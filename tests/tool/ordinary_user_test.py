"""What is essential, as an ordinary user: without capabilities and without /dev/userfaultfd, so in grade user. The suite of the fault
sources, the demo, doctor, and README's program.

Run by root, it becomes `nobody` for that. Run by anybody else, whose own run of the suites this is already, it leaves them out."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tool_support import Tool

SUITES = ("fault",)
SHARDS = 2

tool = Tool()
source = Path(sys.argv[1]).resolve()
build = Path(sys.argv[2]).resolve()
is_root = os.geteuid() == 0
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"]
# Where the tree lies below a folder that is closed to others, as root's home is: this right opens no device for writing.
NOBODY_WHO_ENTERS = [*NOBODY, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


def ordinary_user():
    """What to put before a command."""
    if not is_root:
        return []
    for user in (NOBODY, NOBODY_WHO_ENTERS):
        reached = subprocess.run([*user, "test", "-x", tool.path], capture_output=True, text=True)
        if reached.returncode == 0:
            return user
    print(f"skipped: nobody cannot reach {tool.path} ({reached.stderr.strip()}); clone Sluice into a folder that all may enter")
    sys.exit(0)


def run(*command, folder, **environment):
    """As the ordinary user, in a folder that it may write to. Without what may speak for root."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SUDO_", "HOME"))}
    return subprocess.run(
        [*user, *map(str, command)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=600,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        env={**kept, "HOME": folder, "TMPDIR": folder, **environment},
    )


def expect_good(what, ended, text=""):
    good = ended.returncode == 0 and text in ended.stdout
    tool.expect(good, f"{what} ended with {ended.returncode}:\n{ended.stdout[-3000:]}{ended.stderr[-1000:]}")


def readme_program(folder):
    text = re.search(r"```cpp\n(.*?)```", (source / "README.md").read_text(), re.DOTALL)[1]
    (folder / "readme.cc").write_text(text)
    flags = [f"-I{source / 'include'}", f"-L{build / 'lib'}", "-lsluice", f"-Wl,-rpath,{build / 'lib'}"]
    subprocess.run(["c++", "-std=c++20", folder / "readme.cc", "-o", folder / "readme", *flags], check=True)
    return folder / "readme"


user = ordinary_user()
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    folder.chmod(0o755)
    home = folder / "home"
    home.mkdir()
    if is_root:
        shutil.chown(home, "nobody", "nogroup")

    told = run(tool.path, "doctor", "--json", folder=str(home))
    if is_root:
        tool.expect('"grade": "user"' in told.stdout, f"not in grade user: {told.stdout[:300]}{told.stderr}")
    expect_good("doctor", told)
    expect_good("the demo", run(tool.path, "demo", folder=str(home)), "demo: PASS")
    if not tool.is_sanitized():
        expect_good("README's program", run(readme_program(folder), folder=str(home)), "y[7] = 6")

    def run_suite(part):
        suite, shard = part
        program = build / "tests" / f"{suite}_test"
        return suite, run(
            program, "--gtest_brief=1", folder=str(home), GTEST_TOTAL_SHARDS=str(SHARDS), GTEST_SHARD_INDEX=str(shard)
        )

    parts = [(suite, shard) for suite in SUITES for shard in range(SHARDS)]
    with ThreadPoolExecutor(max_workers=SHARDS) as pool:
        for suite, ended in pool.map(run_suite, parts if is_root else []):
            expect_good(f"the suite of {suite}", ended)
tool.conclude()
