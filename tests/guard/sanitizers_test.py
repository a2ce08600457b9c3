"""Programs that are built with a sanitizer run under the guard in grade signal as others do: with gcc's and clang's sanitizers,
linked statically and shared. Also a program that does nothing: the guard begins before the sanitizer.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from guard_support import BUILD, GUARD, SOURCE, Complaints, run

complaints = Complaints()
skipped = []
# The second is what `sluice run --guard` sets: a shared AddressSanitizer otherwise ends programs with a preload before it.
guarded = {"LD_PRELOAD": str(GUARD), "ASAN_OPTIONS": "verify_asan_link_order=0"}
program = SOURCE.resolve() / "tests" / "guard" / "sanitized" / "program.c"
libraries = BUILD / "lib"


def shared_asan(compiler):
    found = subprocess.run([compiler, "-print-file-name=libclang_rt.asan-x86_64.so"], capture_output=True, text=True).stdout.strip()
    return ["-fsanitize=address", "-shared-libasan", f"-Wl,-rpath,{Path(found).parent}"] if "/" in found else None


def builds():
    if shutil.which("gcc"):
        yield from (("gcc", [f"-fsanitize={name}"]) for name in ("address", "leak", "thread", "undefined"))
        yield "gcc", ["-fsanitize=address", "-static-libasan"]
    for clang in ("clang", "clang-19"):
        if not shutil.which(clang):
            skipped.append(f"{clang}: apt install {clang}")
            continue
        yield from ((clang, [f"-fsanitize={name}"]) for name in ("address", "thread", "undefined"))
        if flags := shared_asan(clang):
            yield clang, flags


with tempfile.TemporaryDirectory() as folder:
    nothing = Path(folder) / "nothing.c"
    nothing.write_text("int main(void) { return 0; }\n")
    for compiler, flags in builds():
        what = " ".join([compiler, *flags])
        binary, empty = Path(folder) / "program", Path(folder) / "nothing"
        made = run(compiler, "-O1", *flags, "-I", SOURCE.resolve() / "include", program, f"-L{libraries}", "-lsluice",
                   f"-Wl,-rpath,{libraries}", "-o", binary)
        made_empty = run(compiler, *flags, nothing, "-o", empty)
        if made.returncode != 0 or made_empty.returncode != 0:
            skipped.append(f"{what}: cannot be linked here: {(made.stderr + made_empty.stderr).strip()[-200:]}")
            continue
        if run(empty).returncode != 0:
            skipped.append(f"{what}: does not run here, not without the guard either")
            continue
        ended = run(empty, **guarded)
        complaints.expect(ended.returncode == 0 and ended.stderr == "", f"{what}, a program that does nothing: {ended}")
        for mode in ("handler", "plain"):
            ended = run(binary, mode, **guarded)
            complaints.expect(ended.returncode == 0 and ended.stdout == "right\n", f"{what}, {mode}: {ended}")
for line in skipped:
    print("not tried:", line)
complaints.conclude("sanitizers")
