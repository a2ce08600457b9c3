"""An installed Sluice: which files it consists of, what its library exports, and that programs build on it and run.

The consumers under tests/house/consumer/ are built from the installed tree alone, in C and in C++, once through
find_package(sluice) and once through pkg-config, after the tree has been moved: nothing in it may remember its first prefix.
README's program is built and run in the same way, so that it stays true.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from house_support import conclude, files

INSTALLED = {
    "bin/sluice",
    "lib/cmake/sluice/sluice-config-version.cmake",
    "lib/cmake/sluice/sluice-config.cmake",
    "lib/cmake/sluice/sluice-targets-CONFIG.cmake",
    "lib/cmake/sluice/sluice-targets.cmake",
    "lib/libsluice-guard.so",
    "lib/libsluice-cuda.so",
    "lib/libsluice-kfd.so",
    "lib/libsluice-opencl.so",
    "lib/libsluice.so",
    "lib/libsluice.so.0",
    "lib/libsluice.so.0.1.0",
    "lib/pkgconfig/sluice.pc",
    "lib/sluice/libsluice-kernels.so",
    "libexec/sluice/sluice-soft-device",
}


def run(*command, **options) -> str:
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if result.returncode:
        print("$", *command, "\n" + result.stdout)
        sys.exit(1)
    return result.stdout


def installed_files(source: Path, prefix: Path):
    expected = INSTALLED | {str(path) for path in files(source, ["include"], {".h", ".hpp"})}
    # The one name that CMake makes from the build type.
    there = {
        re.sub(r"sluice-targets-[a-z]+\.cmake", "sluice-targets-CONFIG.cmake", str(path.relative_to(prefix)))
        for path in prefix.rglob("*")
        if not path.is_dir()
    }
    yield from (f"not installed: {path}" for path in sorted(expected - there))
    yield from (f"installed, but not on the list: {path}" for path in sorted(there - expected))


def exported_names(source: Path, library: Path):
    """Every exported name is declared in a public header, and every C function of the header is exported."""
    if "Library soname: [libsluice.so.0]" not in run("readelf", "-d", library):
        yield "the shared object name is not libsluice.so.0"
    symbols = [line.split(" ", 2)[2] for line in run("nm", "-DC", "--defined-only", library).splitlines()]
    headers = "\n".join((source / path).read_text() for path in files(source, ["include"], {".hpp", ".h"}))
    code = re.sub(r"//.*|/\*(?s:.*?)\*/", "", headers)
    words = set(re.findall(r"\w+", code))
    exported_c = set()
    for symbol in symbols:
        name = symbol.split("@")[0]
        if name == "SLUICE_0":
            continue
        if re.fullmatch(r"sluice_\w+", name):
            exported_c.add(name)
            if name not in words:
                yield f"exported, but in no public header: {name}"
            continue
        qualified = re.search(r"sluice::([\w:~]+)", name)
        if not qualified or not all(word.lstrip("~") in words for word in qualified[1].split("::") if word):
            yield f"exported, but in no public header: {name}"
    declared = set(re.findall(r"SLUICE_API[^;(]*\b(sluice_\w+)\s*\(", code))
    yield from (f"declared in a public header, but not exported: {name}" for name in sorted(declared - exported_c))


def kept_back(core: Path, library: Path):
    """What the headers mark to be exported and the sources define, and the library does not show."""
    marked = set()
    for line in run("readelf", "-sW", core).splitlines():
        match line.split():
            case [_, _, _, _, "GLOBAL", "DEFAULT", section, name] if section != "UND":
                if re.match(r"_ZN[KRO]*6sluice|sluice_", name):
                    marked.add(name)
    shown = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()}
    yield from (f"marked as exported, but not in cmake/sluice.map: {name}" for name in sorted(marked - shown))
    if not marked:
        yield f"{core} has nothing that is marked as exported"


def check_output(program: Path, **options):
    output = run(str(program), **options)
    if "consumer: PASS" not in output:
        yield f"{program} ended well, but did not say so: {output}"


def through_find_package(source: Path, prefix: Path, work: Path):
    for language in ("c", "cc"):
        project, build = source / "tests/house/consumer" / language, work / language
        run("cmake", "-S", str(project), "-B", str(build), "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
        run("cmake", "--build", str(build))
        yield from check_output(build / "consumer")


def through_pkg_config(source: Path, prefix: Path, work: Path):
    environment = dict(os.environ, PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig"), LD_LIBRARY_PATH=str(prefix / "lib"))
    flags = run("pkg-config", "--cflags", "--libs", "sluice", env=environment).split()
    version = run("pkg-config", "--modversion", "sluice", env=environment).strip()
    flags.append(f'-DPACKAGE_VERSION="{version}"')
    for language, compiler, standard in (("c", "cc", "-std=c11"), ("cc", "c++", "-std=c++20")):
        program = work / f"consumer-{language}"
        consumer = source / "tests/house/consumer" / language / f"consumer.{language}"
        run(compiler, standard, "-Wall", "-Wextra", "-Werror", str(consumer), *flags, "-o", str(program))
        yield from check_output(program, env=environment)

    (readme,) = re.findall(r"^```cpp\n(.*?)^```", (source / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    (work / "readme.cc").write_text(readme)
    run("c++", "-std=c++20", "-Wall", "-Wextra", "-Werror", str(work / "readme.cc"), *flags, "-o", str(work / "readme"))
    run(str(work / "readme"), env=environment)
    # A failure of value() ends that program with the whole error.
    refused = subprocess.run([work / "readme"], env=environment | {"SLUICE_STRICT": "bogus"}, text=True, capture_output=True)
    if refused.returncode != -signal.SIGABRT or "invalid argument: SLUICE_STRICT is 'bogus'" not in refused.stderr:
        yield f"README's program ended with {refused.returncode} and said of a value that was refused: {refused.stderr}"


def main():
    source, build = Path(sys.argv[1]), Path(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="sluice-install-") as name:
        folder = Path(name)
        run("cmake", "--install", str(build), "--prefix", str(folder / "first"))
        prefix = (folder / "first").rename(folder / "moved")
        for work in ("cmake", "pkg-config"):
            (folder / work).mkdir()
        conclude(
            [
                *installed_files(source, prefix),
                *exported_names(source, prefix / "lib/libsluice.so.0.1.0"),
                *kept_back(build / "lib/libsluice_core.a", prefix / "lib/libsluice.so.0.1.0"),
                *through_find_package(source, prefix, folder / "cmake"),
                *through_pkg_config(source, prefix, folder / "pkg-config"),
            ],
            checked=1,
        )


main()
