"""A tree as `cmake --install` lays it out, in a folder that every user can reach, with a program that opens a space in it."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SKIPPED = 77


def skip(why: str):
    print("skipped:", why)
    sys.exit(SKIPPED)


def has_set_user_id(folder: Path) -> bool:
    return not os.statvfs(folder).f_flag & os.ST_NOSUID


class Tree:
    """`prefix` holds the tree, `folder` is beside it and anybody may write there. Complaints make the test fail."""

    def __init__(self, source: Path, build: Path):
        self.top = Path(tempfile.mkdtemp(prefix="sluice-tree-", dir="/tmp"))
        os.chmod(self.top, 0o755)
        self.prefix = self.top / "prefix"
        self.folder = self.top / "anybody"
        self.folder.mkdir()
        os.chmod(self.folder, 0o777)
        self.complaints = []
        self.checks = 0
        for file in ("lib/libsluice.so", "lib/sluice/libsluice-kernels.so", "libexec/sluice/sluice-soft-device", "bin/sluice"):
            to = self.prefix / file
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(build / file, to)
            os.chmod(to, 0o755)
        shutil.copy(self.prefix / "lib/libsluice.so", self.prefix / "lib/libsluice.so.0")
        self.opener = self.compile("opener", source / "tests/house/programs/opener.c", f"-Wl,-rpath,{self.prefix}/lib")
        self.source = source

    def compile(self, name: str, program: Path, *flags: str) -> Path:
        to = self.prefix / "bin" / name
        include = program.parents[3] / "include"
        command = ["gcc", "-std=gnu11", "-Wall", "-Werror", "-o", to, program, f"-I{include}", f"-L{self.prefix}/lib", "-lsluice", *flags]
        subprocess.run(command, check=True, timeout=120)
        return to

    def compile_text(self, to: Path, text: str, *flags: str) -> Path:
        command = ["gcc", "-x", "c", "-std=gnu11", "-o", to, "-", *flags]
        subprocess.run(command, input=text, text=True, check=True, timeout=120)
        return to

    def run(self, *command, **options) -> str:
        """Both outputs of a program. One that does not end within a minute fails the test."""
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60, text=True, **options)
        return ended.stdout

    def expect(self, holds: bool, complaint: str):
        self.checks += 1
        if not holds:
            self.complaints.append(complaint)

    def conclude(self):
        shutil.rmtree(self.top)
        for complaint in self.complaints:
            print(complaint)
        print(f"{self.checks} checks, {len(self.complaints)} complaints")
        sys.exit(1 if self.complaints or not self.checks else 0)
