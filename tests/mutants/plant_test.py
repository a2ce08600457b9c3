"""Planted bugs stay out of what is installed, each is a mistake by itself, and one that no longer applies stops the build.

Each patch applies to the sources alone, so a bug is the same whatever others there are. Sources that programs are built from say
nothing of planting. A build of a source that has changed under a patch ends with the names of both, and with what to do.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import plant_support

TOLD = re.compile(r"\bplant|mutant|SLUICE_PLANT", re.IGNORECASE)
PATCH = """The call does nothing.
--- a/src/area/file.cc
+++ b/src/area/file.cc
@@ -2,3 +2,4 @@
 void act() {
+  if (planted::is(planted::Bug::act_not)) return;
   begin();
   end();
"""
SOURCE = "// A file.\n\nvoid act() {\n  begin();\n  end();\n}\n"


def installed_sources(root: Path):
    for folder in ("src", "include", "tools", "examples"):
        yield from (path for path in sorted((root / folder).rglob("*")) if path.is_file())


def told_of_planting(root: Path):
    for path in installed_sources(root):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if TOLD.search(line):
                yield f"{path.relative_to(root)}:{number}: speaks of planted bugs, which only tests/ knows: {line.strip()}"


def not_alone(root: Path):
    for mutant in plant_support.mutants(root):
        try:
            mutant.apply_to({}, plant_support.reader(root, mutant))
        except plant_support.Refused as refused:
            yield f"does not apply alone: {refused}"


def plant(top: Path, source: str, patches: dict):
    """(status, complaint, what was made of the source) of a tree with these patches."""
    shutil.rmtree(top, ignore_errors=True)
    for name, text in {"src/area/file.cc": source, **{f"tests/mutants/{name}.patch": text for name, text in patches.items()}}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    try:
        plant_support.plant(top, top / "copy")
    except SystemExit as ended:
        return 1, ended.code, ""
    return 0, "", (top / "copy/src/area/file.cc").read_text()


def wrong_refusals(top: Path):
    good = {"suite/act_not": PATCH}
    status, told, made = plant(top, "// Another line.\n" + SOURCE, good)
    if status != 0 or "act_not)) return;\n  begin();" not in made or not made.startswith("// Another line.\n// A file.\n"):
        yield f"a patch whose lines have moved must apply; status {status}: {told}{made}"
    cases = {
        "changed lines": (SOURCE.replace("  begin();", "  begin(1);"), good, "no longer applies to src/area/file.cc"),
        "lines that are there twice": (SOURCE + SOURCE, good, "fits 2 places"),
        "a source that is gone": (SOURCE, {"suite/act_not": PATCH.replace("file.cc", "gone.cc")}, "src/area/gone.cc, which does not exist"),
        "no choice of this bug": (SOURCE, {"suite/other": PATCH}, "must add planted::is(planted::Bug::other)"),
        "two of one name": (SOURCE, {**good, "more/act_not": PATCH}, "has that name already"),
        "no patch": (SOURCE, {"suite/act_not": "nothing\n"}, "no patch of sources"),
        "a hunk that ends early": (SOURCE, {"suite/act_not": PATCH.removesuffix("   end();\n")}, "a hunk ends early"),
    }
    for case, (source, patches, must_tell) in cases.items():
        status, told, made = plant(top, source, patches)
        patch = next(reversed(sorted(patches))) + ".patch"
        if status == 0 or made or must_tell not in told or f"tests/mutants/{patch}" not in told:
            yield f"{case}: must be refused, telling '{must_tell}' of {patch}; status {status}, told: {told}"
    told = plant(top, cases["changed lines"][0], good)[1]
    if "git diff" not in told or "CONTRIBUTING.md" not in told or "  begin();\n" not in told:
        yield f"the refusal must show the lines and say what to do: {told}"


def main():
    root = Path(sys.argv[1])
    if not plant_support.mutants(root) or not list(installed_sources(root)):
        sys.exit("found nothing to check: is the first argument the source folder?")
    with tempfile.TemporaryDirectory() as top:
        offences = [*told_of_planting(root), *not_alone(root), *wrong_refusals(Path(top) / "tree")]
    for offence in offences:
        print(offence)
    sys.exit(1 if offences else 0)


main()
