"""Sluice starts and loads what lies beside it, wherever it is started from, and nothing that merely lies in the way.

Somebody who may write a folder in which a user works puts programs there under the names that Sluice looks for; files beside the
library get owners and modes that let others change them; /proc is missing; the working directory is gone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tree_support import Tree

TRAP = """#!/bin/sh
echo trapped > {mark}
"""
WITHOUT_PROC = ["unshare", "-m", "sh", "-c", 'mount --make-rprivate / && umount -l /proc && exec "$@"', "sh"]


def set_trap(tree: Tree) -> Path:
    """A folder of somebody else's: `sluice` in it, and the device and the kernels where a path relative to it leads."""
    work = tree.folder / "trap" / "bin"
    for name in ("bin/sluice", "libexec/sluice/sluice-soft-device", "bin/sluice-soft-device", "lib/sluice/libsluice-kernels.so",
                 "bin/lib/sluice/libsluice-kernels.so", "bin/libexec/sluice/sluice-soft-device"):  # fmt: skip
        file = tree.folder / "trap" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TRAP.format(mark=tree.folder / "mark"))
        os.chmod(file, 0o755)
    return work


def works(tree: Tree, what: str, command, works_if: str, **options):
    said = tree.run(*command, **options)
    tree.expect(works_if in said, f"{what}: {said}")
    tree.expect(not (tree.folder / "mark").exists(), f"{what}: something in the working directory was run")


def check_places(tree: Tree, before=()):
    name = " without /proc" if before else ""
    work = set_trap(tree)
    by_path = {**os.environ, "PATH": f"{tree.prefix}/bin:{os.environ['PATH']}"}
    works(tree, "sluice found by PATH" + name, [*before, "sluice", "demo"], "demo: PASS", cwd=work, env=by_path)
    relative = {**os.environ, "PATH": f"../../../prefix/bin:{os.environ['PATH']}"}
    works(tree, "sluice found by a relative PATH" + name, [*before, "sluice", "demo"], "demo: PASS", cwd=work, env=relative)
    works(tree, "a library found by its rpath" + name, [*before, tree.opener], "works", cwd=work)
    # The library is named from the directory in which the program was started; then the program changes that.
    unlinked = tree.compile("unlinked", tree.source / "tests/house/programs/opener.c")
    relative = {**os.environ, "LD_LIBRARY_PATH": "lib"}
    works(tree, "a library found by a relative path" + name, [*before, unlinked, "chdir", work], "works", cwd=tree.prefix, env=relative)


def check_working_directory(tree: Tree):
    kernels = tree.prefix / "lib/sluice/libsluice-kernels.so"
    works(tree, "a relative module", [tree.opener, "module", "sluice/libsluice-kernels.so"], "works", cwd=tree.prefix / "lib")
    works(tree, "an absolute module, no directory", [tree.opener, "lose-directory", "module", kernels], "works")
    said = tree.run(tree.opener, "lose-directory", "module", "./kernels.so")
    tree.expect("refused: the module './kernels.so'" in said, f"a relative module without a directory: {said}")


def check_owners(tree: Tree):
    device = tree.prefix / "libexec/sluice/sluice-soft-device"
    kernels = tree.prefix / "lib/sluice/libsluice-kernels.so"
    for file in (device, device.parent, kernels, kernels.parent):
        mode = file.stat().st_mode & 0o7777
        os.chmod(file, 0o777)
        said = tree.run(tree.opener)
        tree.expect(f"refused: {file} is not used: its mode 777" in said, f"{file} of mode 777: {said}")
        os.chmod(file, mode)
    if os.geteuid() == 0:
        os.chown(device, 65534, 65534)
        said = tree.run(tree.opener)
        tree.expect("belongs to user 65534" in said, f"a device of another user: {said}")
        os.chown(device, 0, 0)
        said = tree.run(tree.opener, user=65534, group=65534, extra_groups=[], cwd="/")
        tree.expect("works" in said, f"root's installation, used by another user: {said}")
    for name in ("SLUICE_SOFT_DEVICE", "SLUICE_SOFT_KERNELS"):
        said = tree.run(tree.opener, env={**os.environ, name: "bin/true"}, cwd="/")
        tree.expect(f"{name} is 'bin/true'; it must be an absolute path" in said, f"{name} of a relative path: {said}")
    said = tree.run(tree.opener)
    tree.expect("works" in said, f"at the end: {said}")


def main():
    tree = Tree(Path(sys.argv[1]), Path(sys.argv[2]))
    check_places(tree)
    if subprocess.run([*WITHOUT_PROC, "true"], stderr=subprocess.DEVNULL).returncode == 0:
        check_places(tree, WITHOUT_PROC)
    else:
        print("without /proc: not checked, this user may not make a mount namespace; run as root")
    check_working_directory(tree)
    check_owners(tree)
    shutil.rmtree(tree.folder / "trap")
    tree.conclude()


main()
