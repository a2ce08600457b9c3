"""Programs under `sluice run --kfd`: plain ioctls of ours, and AMD's own user space, as Debian has it, as it is.

The scenarios are those of the mailing list's question about MAP_MEMORY_TO_GPU: a failure on the third of four GPUs and then the
release, and a signal in the middle. What AMD's libraries of Debian 12 (5.2.3) do there is recorded row by row.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUILD = Path(sys.argv[2])
SLUICE = BUILD / "bin/sluice"
PLAIN = BUILD / "tests/kfd-plain-program"
RANGES = BUILD / "tests/kfd-ranges-program"
SHARING = BUILD / "tests/kfd-sharing-program"
STRESS = BUILD / "tests/kfd-stress-program"
THUNK = BUILD / "tests/kfd-thunk-program"
RUNTIME = BUILD / "tests/kfd-runtime-program"

failures, skipped = [], []
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # AMD's runtime aborts


def run(machine, *command, plan="", cache=None):
    environment = {**os.environ, "SLUICE_FAULT_PLAN": plan, "XDG_CACHE_HOME": cache or CACHE}
    environment.pop("LD_PRELOAD", None)
    return subprocess.run([SLUICE, "run", f"--kfd={machine}", "--", *command], capture_output=True, text=True, timeout=120, env=environment)


def expect(condition, what, ended=None):
    if not condition:
        failures.append(what + (f"\n  status {ended.returncode}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}" if ended else ""))


def plain(what, plan="", says="", machine="4"):
    ended = run(machine, PLAIN, what, plan=plan)
    expect(ended.returncode == 0 and says in ended.stdout, f"plain {what}", ended)
    return ended


def plain_ioctls():
    plain("enomem", "device=2 step=map nth=1 action=fail", "UNMAP of the first 2, then FREE: 0")
    plain("signal", "step=map action=slow=2000", "MAP: EINTR, n_success 4, after the signal")
    plain("signal-restart", "step=map action=slow=2000", "MAP: 0, n_success 4, after the whole wait")
    plain("hang", "device=1 step=map action=hang", "the reset of GPU 1 was told")
    plain("in-the-middle", "step=map action=slow=300")
    plain("events-interrupted", "step=fence nth=1 action=interrupt")
    for what in ("memory", "events", "fork", "files", "threads"):
        plain(what)
    plain("files", machine="gpus=64,chip=gfx942,links=pcie,vram=1GiB")


def malformed_calls():
    ended = plain("fuzz", says="100000 calls answered")
    said = re.findall(r"/dev/kfd: ioctl 0x22, CRIU_OP is not served; it answers ENOTTY", ended.stderr)
    expect(len(said) == 1, "a call that is not served is told once", ended)


def ranges():
    ended = run("4", RANGES, "smi", plan="device=0 step=room nth=1 action=fail")
    expect(ended.returncode == 0 and "evicted, restored, migrated" in ended.stdout, "events", ended)
    ended = run("4", RANGES, "unmap")
    says = "attributes went with their memory" in ended.stdout and not ended.stderr
    expect(ended.returncode == 0 and (says or "no userfaultfd" in ended.stdout), "unmapped ranges", ended)


def sharing():
    for machine in ("2", "4,links=pcie"):
        ended = run(machine, SHARING)
        expect(ended.returncode == 0 and "both processes had the same bytes" in ended.stdout and not ended.stderr, "sharing", ended)


def stress():
    """Against the model, with signals and SIGKILL all the time; and nothing is left behind."""
    before = {folder: sorted(os.listdir(folder)) for folder in ("/dev/shm",)}
    ended = run("gpus=4,vram=64MiB,system=1GiB", STRESS, "4", plan="step=map every=9 action=slow=1; step=fence every=5 action=interrupt")
    expect(ended.returncode == 0 and "no difference" in ended.stdout, "stress", ended)
    ended = run("gpus=4,vram=64MiB,system=1GiB", STRESS, "2", plan="step=map nth=200 action=fail")
    expect(ended.returncode != 0 and "error == expected" in ended.stdout, "stress finds what differs", ended)
    for folder, names in before.items():
        left = [name for name in os.listdir(folder) if "kfd" in name and name not in names]
        expect(not left, f"left behind in {folder}: {left}")


def refusals():
    for machine, plan, says in (
        ("0", "", "expected 1 to 64 GPUs"),
        ("4,colour=red", "", "'colour=red'"),
        ("4", "step=fill action=fail", "below --kfd this step has no such action"),
        ("4", "step=map", "the rule has no action="),
    ):
        ended = run(machine, "true", plan=plan)
        expect(ended.returncode == 3 and says in ended.stderr, f"refusal of {machine} and '{plan}'", ended)
    with tempfile.TemporaryDirectory() as shared:
        os.chmod(shared, 0o777)
        os.mkdir(f"{shared}/sluice")
        os.chmod(f"{shared}/sluice", 0o777)
        ended = run("1", "true", cache=shared)
        expect(ended.returncode == 3 and "only this user can write" in ended.stderr, "a folder of others is refused", ended)


def conformance():
    for machine, untried in (("4", 0), ("2,chip=gfx942", 0), ("1", 3)):
        ended = run(machine, SLUICE, "kfd", "conformance", "--json")
        expect(ended.returncode == 0, f"conformance with {machine}", ended)
        rules = json.loads(ended.stdout)["rules"]
        states = [rule["state"] for rule in rules]
        expect(states.count("not tried") == untried and states.count("held") == len(states) - untried >= 21, f"rules with {machine}", ended)
    ended = run("4", SLUICE, "kfd", "conformance", plan="device=0 step=map nth=1 action=fail")
    expect(ended.returncode == 1 and "first: 12 instead of 0" in ended.stdout, "a broken rule is told", ended)
    expect("conformance: 1 of " in ended.stdout, "the others go on", ended)
    if not Path("/dev/kfd").exists():
        ended = subprocess.run([SLUICE, "kfd", "conformance"], capture_output=True, text=True, timeout=120)
        expect(ended.returncode == 3 and "sluice run --kfd=4" in ended.stderr, "without /dev/kfd", ended)


def explain():
    plan = "device=2 step=map nth=1 action=fail"
    environment = {**os.environ, "SLUICE_FAULT_PLAN": plan, "XDG_CACHE_HOME": CACHE}
    command = [SLUICE, "run", "--kfd=4", "--", PLAIN, "leak"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as program:
        process = program.stdout.readline().removeprefix("process ").strip()

        def ask(*options, **how):
            return subprocess.run([SLUICE, "kfd", "explain", process, *options], capture_output=True, text=True, timeout=120, **how)

        told, as_json = ask(), ask("--json")
        others = ask(user="nobody", group="nogroup", extra_groups=[]) if os.geteuid() == 0 and reachable_by_others(SLUICE) else None
        program.stdin.close()
    expect(told.returncode == 1 and "LEAKS: FREE was refused once; first it must be unmapped on GPUs 0, 1" in told.stdout, "what leaks is told", told)
    expect("the last MAP: ENOMEM, n_success 2 of 4" in told.stdout and "mapped on GPUs 0, 1, 2, 3" in told.stdout, "prefixes are told", told)
    buffers = json.loads(as_json.stdout)["buffers"]
    expect([(each["state"], each["mapped_on"]) for each in buffers] == [("leaks", [0, 1]), ("fine", [0, 1, 2, 3])], "JSON of what leaks", as_json)
    if others:
        expect(others.returncode == 3 and "only its owner and root can ask" in others.stderr, "another user's process is refused", others)
    gone = ask()
    expect(gone.returncode == 3 and "there is no process" in gone.stderr, "a process that has ended", gone)
    process = str(os.getpid())
    expect("has no account" in ask().stderr, "a process that has no account")


def reachable_by_others(path):
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in [path, *path.parents])


def rocminfo():
    if not shutil.which("rocminfo"):
        return skipped.append("rocminfo is not installed (Debian's rocminfo; `make deps-test` installs it)")
    for machine, gpus, name in (("1", 1, "gfx90a"), ("4,chip=gfx908", 4, "gfx908"), ("16", 16, "gfx90a"), ("64,links=pcie", 64, "gfx90a")):
        ended = run(machine, "rocminfo")
        agents = len(re.findall(r"Device Type: +GPU", ended.stdout))
        named = len(re.findall(rf"^  Name: +{name} *$", ended.stdout, re.MULTILINE))
        expect(ended.returncode == 0 and agents == named == gpus and not ended.stderr, f"rocminfo with {machine}", ended)


def lines(ended):
    return dict(line.split(": ", 1) for line in ended.stdout.splitlines() if ": " in line)


def first_failure(program, step, *arguments):
    """The run in which the third GPU fails at the program's own step: the libraries map memory of their own before."""
    for nth in range(1, 40):
        ended = run("4", program, *arguments, plan=f"device=2 step=map nth={nth} action=fail")
        if lines(ended).get(step, "0") != "0":
            return ended
    failures.append(f"{program.name} never failed at '{step}'")
    return ended


def thunk():
    if not THUNK.exists():
        return skipped.append("AMD's thunk is not installed (Debian's libhsakmt-dev; `make deps-test` installs it)")
    ended = run("4", THUNK)
    expect(ended.returncode == 0 and lines(ended) == {"map on 4 GPUs": "0", "unmap": "0", "free": "0"}, "the thunk", ended)
    # It reports nothing mapped, so unmapping does nothing, and the buffer cannot be freed any more.
    ended = first_failure(THUNK, "map on 4 GPUs")
    expect(lines(ended) == {"map on 4 GPUs": "1", "unmap": "0", "free": "1"}, "the thunk's release after a failure", ended)
    ended = first_failure(THUNK, "map on 4 GPUs", "again")
    expect(lines(ended) == {"map on 4 GPUs": "1", "map again": "0", "unmap": "0", "free": "0"}, "the thunk's second attempt", ended)


def runtime():
    if not RUNTIME.exists():
        return skipped.append("AMD's runtime is not installed (Debian's libhsa-runtime-dev; `make deps-test` installs it)")
    ended = run("4", RUNTIME)
    expect(ended.returncode == 0 and lines(ended) == {"allowed": "0", "free": "0", "shut down": "0"}, "the runtime", ended)
    # Real copies, by SDMA packets that AMD's runtime writes; a kernel is not needed for these.
    for machine in ("2", "4,links=pcie", "3,chip=gfx908"):
        ended = run(machine, RUNTIME, "copies")
        expect(ended.returncode == 0 and lines(ended)["bytes"] == "the same" and not ended.stderr, f"copies with {machine}", ended)
    ended = first_failure(RUNTIME, "allowed")
    expect("FreeKfdMemory" in ended.stderr and ended.returncode < 0, "the runtime aborts in the release after a failure", ended)


def one_byte():
    """What one byte for all GPUs costs in AMD's runtime: calls are counted by the process's account."""
    if not RUNTIME.exists():
        return
    for gpus in (4, 64):
        command = [SLUICE, "run", f"--kfd={gpus}", "--", RUNTIME, "one-byte"]
        environment = {**os.environ, "XDG_CACHE_HOME": CACHE}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as program:
            process = program.stdout.readline().removeprefix("process ").strip()

            def count():
                asked = subprocess.run([SLUICE, "kfd", "explain", process, "--json"], capture_output=True, text=True, timeout=120)
                told = json.loads(asked.stdout)
                return told["calls"], told["map_calls"]

            start, before = program.stdout.readline().strip(), count()
            program.stdin.write("\n")
            program.stdin.flush()
            took, after = program.stdout.readline().strip(), count()
            program.communicate("\n")
        calls, maps = after[0] - before[0], after[1] - before[1]
        print(f"{gpus} GPUs: {start} with {before[0]} calls, {before[1]} of them MAP; {took} with {calls} calls, {maps} of them MAP")
        expect(program.returncode == 0 and 1 <= maps < calls, f"one byte for {gpus} GPUs: {calls} calls, {maps} of them MAP")


with tempfile.TemporaryDirectory() as CACHE, ThreadPoolExecutor(2) as pool:
    for each in [pool.submit(part) for part in (plain_ioctls, ranges, sharing, stress, malformed_calls, refusals, conformance, explain, rocminfo, thunk, runtime, one_byte)]:
        each.result()
print("\n".join(failures + [f"skipped: {each}" for each in skipped]))
sys.exit(1 if failures else 77 if skipped else 0)
