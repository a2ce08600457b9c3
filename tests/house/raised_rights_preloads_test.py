"""The guard, the OpenCL layer and the CUDA face do nothing that the user of a program with raised rights asks for.

The user of a set-user-ID program, or of one with a file capability, can ask for them in three ways: by LD_PRELOAD, which the
dynamic linker drops; by OPENCL_LAYERS, which ocl-icd obeys; and, where the program itself is linked with one of them, by their
variables. Each way is first seen to have an effect on the same program without raised rights. The program works in every case.
"""

import os
import shutil
import sys
from pathlib import Path

from raised_rights_support import MARK, USER, give_capability
from tree_support import Tree, has_set_user_id, skip

LIBRARIES = ("sluice-guard", "sluice-opencl", "sluice-cuda")
VENDOR = Path("/etc/OpenCL/vendors/pocl.icd")
HEADER = Path("/usr/include/CL/cl.h")


class Ways:
    """What the user asks, by name: (part, library that is linked, variables, the word that shows an effect, or its trace)."""

    def __init__(self, tree: Tree, build: Path):
        self.mark = tree.folder / "mark"
        self.opencl = VENDOR.exists() and HEADER.exists()
        lib = {}
        for name in LIBRARIES:
            lib[name] = tree.prefix / "lib" / f"lib{name}.so"
            shutil.copy(build / "lib" / f"lib{name}.so", lib[name])
        driver = tree.compile_text(tree.folder / "driver.so", MARK % self.mark, "-shared", "-fPIC")
        stand_in = tree.folder / "libcuda.so.1"
        shutil.copy(build / "tests/fake_cuda/libcuda.so.1", stand_in)
        guard, layer, face = (str(lib[name]) for name in LIBRARIES)
        vendor = {"OCL_ICD_VENDORS": str(VENDOR), "POCL_CACHE_DIR": str(tree.folder)}
        served = "unified shared memory: yes"
        self.all = {
            "the guard preloaded": ("guard", None, {"LD_PRELOAD": guard}, "libsluice-guard is loaded"),
            "a driver of the guard's": ("guard", LIBRARIES[0], {"SLUICE_GUARD_DRIVERS": "preloaded"}, "is a driver"),
            "the guard's first": ("guard", LIBRARIES[0], {"SLUICE_GUARD_FIRST": "1"}, "is a driver"),
            "too many drivers": ("guard", LIBRARIES[0], {"SLUICE_GUARD_DRIVERS": "x" * 1100}, "has more names than fit the 1 KiB"),
            "the face preloaded": ("cuda", None, {"LD_PRELOAD": face, "SLUICE_CUDA_DRIVER": str(stand_in)}, "cuGetProcAddress_v2: 0"),
            "a driver of the face's": ("cuda", LIBRARIES[2], {"SLUICE_CUDA_DRIVER": str(driver)}, self.mark.exists),
        }
        if self.opencl:
            self.all |= {
                "a layer of the loader's": ("opencl", None, {"OPENCL_LAYERS": layer, **vendor}, served),
                "the layer preloaded": ("opencl", None, {"LD_PRELOAD": layer, **vendor}, served),
                "a layer by link": ("opencl", LIBRARIES[1], vendor, served),
                "a layer's back end": (
                    "opencl", LIBRARIES[1], {"SLUICE_OPENCL_BACKEND": "buckets", **vendor}, "SLUICE_OPENCL_BACKEND is 'buckets'"),
            }

    def try_all(self, tree: Tree, what: str, raise_rights):
        """`raise_rights` is done to a program of its own; None: as a control."""
        programs = {}
        for name, (part, linked, variables, effect) in self.all.items():
            if linked not in programs:
                programs[linked] = self.compile(tree, f"preloaded-{what}-{linked}".replace(" ", "-"), linked)
                if raise_rights is not None:
                    raise_rights(programs[linked])
            self.mark.unlink(missing_ok=True)
            said = tree.run(
                programs[linked], part, user=USER, group=USER, extra_groups=[], cwd="/", env={"PATH": "/usr/bin:/bin", **variables})
            happened = effect in said if isinstance(effect, str) else effect()
            if raise_rights is None:
                tree.expect(happened, f"{name} has no effect, so this test shows nothing: {said}")
            else:
                tree.expect(not happened, f"{what}: {name} has an effect: {said}")
                tree.expect(said.endswith("works\n"), f"{what}: with {name} the program does not work: {said}")

    def compile(self, tree: Tree, name: str, linked):
        flags = ["-Wl,--no-as-needed", f"-l{linked}"] if linked else []
        if self.opencl:
            flags += ["-DWITH_OPENCL", "-lOpenCL"]
        return tree.compile(name, tree.source / "tests/house/programs/preloaded.c", f"-Wl,-rpath,{tree.prefix}/lib", *flags)


def main():
    if os.geteuid() != 0:
        skip("only root can make a set-user-ID program of another user; run as root")
    if not has_set_user_id(Path("/tmp")):
        skip("/tmp is mounted nosuid; mount it without")
    tree = Tree(Path(sys.argv[1]), Path(sys.argv[2]))
    ways = Ways(tree, Path(sys.argv[2]))
    if not ways.opencl:
        print(f"the OpenCL layer is not tried: {HEADER} or {VENDOR} is missing; scripts/install_packages test installs them")
    ways.try_all(tree, "ordinary", None)
    ways.try_all(tree, "set-user-ID", lambda program: os.chmod(program, 0o4755))
    ways.try_all(tree, "file capability", give_capability)
    tree.conclude()


main()
