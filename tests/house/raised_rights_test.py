"""A program with raised rights (set-user-ID, file capabilities) gives none of them to the user who starts it.

The user steers by environment variables: a program to start as the device, a module to load into it, a file for the trace, a
plan of faults. Each is tried on a real set-user-ID program, on one that makes itself root for good before it opens a space (its
device process is then started by root for root), and on a program with a file capability; as a control, each works on the same
program without raised rights.
"""

import os
import sys
from pathlib import Path

from raised_rights_support import MARK, USER, give_capability
from tree_support import Tree, has_set_user_id, skip


def tries(tree: Tree):
    """(name, environment, whether what it asks for has happened)"""
    mark = tree.folder / "mark"
    victim = tree.folder / "victim"
    device = tree.compile_text(tree.folder / "device", MARK % mark + "int main(void) { return 0; }")
    module = tree.compile_text(tree.folder / "module.so", MARK % mark, "-shared", "-fPIC")
    yield "SLUICE_SOFT_DEVICE", str(device), mark.exists
    yield "SLUICE_SOFT_KERNELS", str(module), mark.exists
    yield "SLUICE_TRACE", str(victim), lambda: victim.exists() and victim.stat().st_size > 0
    yield "SLUICE_FAULT_PLAN", "step=open action=fail", lambda: False


def check(tree: Tree, asked, what: str, program: Path, raised: bool, *arguments: str):
    for name, value, happened in asked:
        for left in ("mark", "victim"):
            (tree.folder / left).unlink(missing_ok=True)
        said = tree.run(program, *arguments, user=USER, group=USER, extra_groups=[], cwd="/", env={name: value, "PATH": "/usr/bin:/bin"})
        obeyed = happened() or (name == "SLUICE_FAULT_PLAN" and "works" not in said)
        if raised:
            tree.expect(not obeyed, f"{what}: {name} is obeyed: {said}")
            tree.expect("works" in said, f"{what}: with {name} the program does not work: {said}")
        else:
            tree.expect(obeyed, f"{what}: {name} has no effect, so this test shows nothing: {said}")


def main():
    if os.geteuid() != 0:
        skip("only root can make a set-user-ID program of another user; run as root")
    if not has_set_user_id(Path("/tmp")):
        skip("/tmp is mounted nosuid; mount it without")
    tree = Tree(Path(sys.argv[1]), Path(sys.argv[2]))
    asked = list(tries(tree))
    check(tree, asked, "ordinary", tree.opener, False)
    as_root = tree.compile("opener-suid", tree.source / "tests/house/programs/opener.c", f"-Wl,-rpath,{tree.prefix}/lib")
    os.chmod(as_root, 0o4755)
    check(tree, asked, "set-user-ID", as_root, True)
    check(tree, asked, "set-user-ID, root for good", as_root, True, "become-root")
    capable = tree.compile("opener-cap", tree.source / "tests/house/programs/opener.c", f"-Wl,-rpath,{tree.prefix}/lib")
    give_capability(capable)
    check(tree, asked, "file capability", capable, True)
    tree.conclude()


main()
