"""Other people's software that wants SIGSEGV, unmodified, beside the stand-in driver and under the guard: managed accesses succeed,
and a real crash is still theirs to report. What is not installed is named, with the package that has it."""

import shutil
import tempfile
from pathlib import Path

from guard_support import GUARD, GUARDED, PROGRAMS, SOURCE, Complaints, run

FOLDER = SOURCE.resolve() / "tests" / "guard" / "third_party"
complaints = Complaints()
skipped = []


def built(name, package):
    program = PROGRAMS / f"with_{name}"
    if program.exists():
        return program
    skipped.append(f"{name}: apt install {package}, then configure anew")
    return None


def tool(name, package):
    if shutil.which(name):
        return True
    skipped.append(f"{name}: apt install {package}")
    return False


def check(what, ended, status, *texts):
    text = ended.stdout + ended.stderr
    good = ended.returncode == status and all(part in text for part in texts)
    complaints.expect(good, f"{what}: status {ended.returncode}, wanted {status} and {texts}\n{text}")


if program := built("catch2", "catch2"):
    check("Catch2", run(program, **GUARDED), 0, "All tests passed")
    check("Catch2, a crash", run(program, "a real crash", **GUARDED), -11, "a real crash", "SIGSEGV")
    complaints.expect(run(program).returncode != 0, "Catch2 needs no guard")
if program := built("doctest", "doctest-dev"):
    check("doctest", run(program, **GUARDED), 0, "SUCCESS")
    check("doctest, a crash", run(program, "--no-skip", "--test-case=a real crash", **GUARDED), -11, "a real crash", "SIGSEGV")
    complaints.expect(run(program).returncode != 0, "doctest needs no guard")
if program := built("gtest", "libgtest-dev"):
    check("GoogleTest's death tests", run(program, **GUARDED), 0, "[  PASSED  ] 4 tests.")
    complaints.expect(run(program).returncode != 0, "GoogleTest needs no guard")
if program := built("sigsegv", "libsigsegv-dev"):
    check("libsigsegv", run(program, **GUARDED), 0, "survived an overflow")
if program := built("libunwind", "libunwind-dev"):
    check("libunwind", run(program, **GUARDED), 0, "fault_here 1 and main 1")
if program := built("backward", "libbackward-cpp-dev"):
    native = run(program)
    guarded = run(program, **GUARDED)
    complaints.expect(native.returncode != 0 and "value 2" not in native.stdout, "backward-cpp needs no guard")
    check("backward-cpp", guarded, -11, "value 2", "crash_here", "main")

script = [FOLDER / "with_faulthandler.py", PROGRAMS / "libstand-in-driver.so"]
if tool("python3", "python3"):
    check("faulthandler", run("python3", *script, **GUARDED), 0, "right")
    check("faulthandler, a crash", run("python3", *script, "crash", **GUARDED), -11, "right", "Fatal Python error: Segmentation fault",
          "with_faulthandler.py")

    ucx = [FOLDER / "with_ucx.py", PROGRAMS / "libstand-in-driver.so"]
    loaded = run("python3", *ucx, **GUARDED)
    if loaded.returncode == 77:
        skipped.append("UCX: apt install libucx0")
    else:
        check("UCX", loaded, 0, "right")
        complaints.expect(run("python3", *ucx).returncode != 0, "UCX needs no guard")

if tool("gdb", "gdb"):
    # The program alone is to have the guard, and not the shell that gdb starts it with.
    settings = [part for name, value in GUARDED.items() for part in ("-ex", f"set environment {name} {value}")]
    ended = run("gdb", "-nx", "-batch", "-ex", "set startup-with-shell off", *settings,
                "-ex", "handle SIGSEGV nostop noprint pass", "-ex", "run handler", PROGRAMS / "guard-steps")
    if "ptrace: Operation not permitted" in ended.stdout + ended.stderr:
        skipped.append("gdb: may not trace here")
    else:
        check("gdb", ended, 0, "step 5", "exited normally")

if tool("javac", "openjdk-17-jdk-headless"):
    with tempfile.TemporaryDirectory() as folder:
        run("javac", "-d", folder, FOLDER / "Managed.java")
        java = ["java", "-Xss1m", "-cp", folder]
        jni = PROGRAMS / "libmanaged-jni.so"
        wanted = "caught 20000 overflowed true right 201"
        check("Java", run(*java, "Managed", jni, **GUARDED), 0, wanted)
        check("Java, -Xcheck:jni", run(*java, "-Xcheck:jni", "Managed", jni, **GUARDED), 0, wanted)
        jsig = next(iter(sorted(Path("/usr/lib/jvm").glob("*/lib/libjsig.so"))), None)
        if jsig:
            for order in (f"{GUARD}:{jsig}", f"{jsig}:{GUARD}"):
                check(f"Java, {order}", run(*java, "Managed", jni, **{**GUARDED, "LD_PRELOAD": order}), 0, wanted)

if tool("go", "golang-go"):
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/with_go"
        made = run("go", "build", "-o", program, FOLDER / "go" / "main.go", timeout=300, GO111MODULE="off", CGO_ENABLED="1",
                   GOCACHE=f"{folder}/cache", GOPATH=f"{folder}/path", CGO_CFLAGS=f"-I{FOLDER.parent / 'stand_in'}",
                   CGO_LDFLAGS=f"-L{PROGRAMS} -lstand-in-driver -Wl,-rpath,{PROGRAMS}")
        if made.returncode != 0 and "could not import" in made.stderr:
            skipped.append("Go: apt install golang-go (its standard library is missing)")
        else:
            check("Go, building", made, 0)
            check("Go", run(program, **GUARDED), 0, "caught 1600 right 16")
            complaints.expect(run(program).returncode != 0, "Go needs no guard")

for line in skipped:
    print("not tried:", line)
complaints.conclude("third parties")
