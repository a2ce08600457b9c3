"""Runs a suite as an ordinary user: without capabilities and without /dev/userfaultfd, so in grade user.

    as_an_ordinary_user.py PROGRAM [GTEST-FILTER]

Run by root, it becomes `nobody` for that. Another user has run the suites without these rights already, so that it is skipped."""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SKIPPED = 77
SHARDS = 4  # most tests wait most of the time
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"]
# Where the tree lies below a folder that is closed to others, as root's home is: this right opens no device for writing.
NOBODY_WHO_ENTERS = [*NOBODY, "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]


class OrdinaryUser:
    """Runs programs that lie where `program` does. Its folder is its own, and is removed in the end."""

    def __init__(self, program):
        self.is_root = os.geteuid() == 0
        self.prefix = self._prefix(program) if self.is_root else []
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.folder.chmod(0o755)
        self.home = self.folder / "home"
        self.home.mkdir()
        if self.is_root:
            shutil.chown(self.home, "nobody", "nogroup")

    def run(self, *command, timeout=600, **environment):
        """Runs it in a folder that the user may write to, without what may speak for root."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SUDO_", "HOME"))}
        return subprocess.run(
            [*self.prefix, *map(str, command)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            cwd=self.home,
            env={**kept, "HOME": str(self.home), "TMPDIR": str(self.home), **environment},
        )

    def run_suite(self, program, *arguments, shards=SHARDS):
        """Runs a test program in parts at once. The parts that failed."""

        def run_part(shard):
            return self.run(
                program, "--gtest_brief=1", *arguments, GTEST_TOTAL_SHARDS=str(shards), GTEST_SHARD_INDEX=str(shard)
            )

        with ThreadPoolExecutor(max_workers=shards) as pool:
            return [ended for ended in pool.map(run_part, range(shards)) if ended.returncode != 0]

    @staticmethod
    def _prefix(program):
        for user in (NOBODY, NOBODY_WHO_ENTERS):
            reached = subprocess.run([*user, "test", "-x", program], capture_output=True, text=True)
            if reached.returncode == 0:
                return user
        print(f"nobody cannot reach {program} ({reached.stderr.strip()}); clone Sluice into a folder that all may enter")
        sys.exit(SKIPPED)


def main():
    program, *rest = sys.argv[1:]
    program = str(Path(program).resolve())
    user = OrdinaryUser(program)
    if not user.is_root:
        print("the suites run as an ordinary user already; run as root to see them lose rights")
        sys.exit(SKIPPED)
    failed = user.run_suite(program, *(f"--gtest_filter={rule}" for rule in rest))
    for ended in failed:
        print(f"ended with {ended.returncode}:\n{ended.stdout[-6000:]}{ended.stderr[-2000:]}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
