"""An unmodified program of CUDA's driver interface does under `sluice run --cuda` what it does without.

The driver is the stand-in (fake_driver/), whose GPUs end with CUDA_ERROR_ILLEGAL_ADDRESS when memory is taken from a running kernel.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[2])
SLUICE = BUILD / "bin/sluice"
PROGRAM = BUILD / "tests/cuda-managed-program"
STREAMS = BUILD / "tests/cuda-streams-program"
DRIVER = BUILD / "tests/fake_cuda"

# Row by row what NVIDIA's driver 580 does on an H200 (2026-11). Which error a refusal gives is from the reference where it was not
# recorded; `cuda-managed-program table` prints the same rows without Sluice.
NATIVE = """
allocate size 0: 1
allocate flags 0: 1
allocate flags 3: 1
allocate 2^60: 2
allocate for the host: 0
fresh bytes: 0
address range: 0
its base: 0
its size: 10000
free inside: 1
free: 0
free twice: 1
free null: 0
memory type: 2
sync memops: 1
is managed: 1
device: 0
ipc: 0
mapped: 1
rdma: 0
access flags: 3
device pointer: 0
it is the same: 1
host pointer: 0
it is the same: 1
prefetch: 0
prefetch to the host: 0
prefetch to nowhere: 101
prefetch nothing: 1
prefetch past the end: 1
prefetch with flags: 1
prefetch to device -1: 101
prefetch to a node: 0
preferred, unset: -2
advise preferred host: 0
preferred: -1
preferred, mixed: -2
its type: 2
advise read mostly: 0
read mostly: 1
advise accessed by: 0
accessed by: 0
first: 0
last: -2
advise a bad device: 101
of nothing: -1001
past the end: -1001
a wrong size: 1
attach: 0
attach a part: 1
attach inside: 1
attach to the default stream: 1
prefetch a list: 0
with flags: 1
in the default stream: 1
discard a list: 0
with flags: 1
in the default stream: 1
ipc handle: 1
register: 1
device pointer of the host: 1
free as host memory: 1
free in a stream: 801
wait for a word: 1
write a word: 1
a list of words: 1
"""

# Each fails once, early and later: the program then gets an error, or what it asked for.
FAILING = ["cuMemCreate", "cuMemMap", "cuMemSetAccess", "cuMemHostRegister_v2", "cuMemcpyAsync", "cuMemsetD8Async",
           "cuStreamCreateWithPriority", "cuStreamWriteValue64_v2", "cuStreamWaitEvent", "cuEventCreate", "cuEventRecord",
           "cuMemAddressReserve", "cuMemHostAlloc", "cuDevicePrimaryCtxRetain", "cuLaunchKernel"]  # fmt: skip

complaints = []


def expect(is_so, complaint):
    if not is_so:
        complaints.append(complaint)


def run(*words, sluice=True, program=PROGRAM, **environment):
    command = [SLUICE, "run", "--cuda", "--", program, *words] if sluice else [program, *words]
    variables = {**os.environ, "LD_LIBRARY_PATH": str(DRIVER), "XDG_CACHE_HOME": CACHE,
                 "SLUICE_CUDA_KERNELS": str(DRIVER / "kernels.ptx"), **environment}  # fmt: skip
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, env=variables)


def compare(*words, program, settings):
    """The program prints the same without Sluice and, for each of the settings, with it."""
    native = run(*words, sluice=False, program=program)
    expect(native.returncode == 0, f"{program.name} without Sluice: {native.stdout}{native.stderr}")
    for each in settings:
        ours = run(*words, program=program, **each)
        expect(ours.returncode == 0 and ours.stdout == native.stdout,
               f"{program.name} with Sluice, {each}: {ours.returncode}\n{ours.stdout}{ours.stderr}\nand without:\n{native.stdout}")  # fmt: skip


def check_work():
    compare("work", program=PROGRAM,
            settings=[{}, {"FAKE_CUDA_GAP": "1", "FAKE_CUDA_STALL": "11"}, {"FAKE_CUDA_GPUS": "2"}, {"FAKE_CUDA_MEMORY": "64"}])  # fmt: skip


def check_streams():
    compare(program=STREAMS, settings=[{}, {"FAKE_CUDA_GAP": "1", "FAKE_CUDA_STALL": "5"}])


def check_table():
    ours = run("table")
    rows = zip(NATIVE.strip().splitlines(), ours.stdout.splitlines(), strict=False)
    different = [f"{native} (the driver's), {here} (here)" for native, here in rows if native != here]
    expect(not different, "\n".join(different))
    expect(len(ours.stdout.splitlines()) == len(NATIVE.strip().splitlines()), f"rows are missing: {ours.stdout}{ours.stderr}")


def check_names():
    for name in ("libcuda.so", str(DRIVER / "libcuda.so.1"), "libcuda.so.1"):
        ours = run("table", name)
        expect("is managed: 1" in ours.stdout, f"opened as {name}: {ours.stdout}{ours.stderr}")
    # The stand-in has managed memory, and does not tell of pointers.
    off = run("table", SLUICE_CUDA_MANAGED="driver")
    expect("free inside: 1" in off.stdout and "is managed: -500" in off.stdout, f"switched off: {off.stdout}{off.stderr}")


def check_opening():
    """dlopen() is the caller's: it looks in its RUNPATH."""
    command = [SLUICE, "run", "--cuda", "--", BUILD / "tests/cuda-opening-program", BUILD / "tests/libcuda-opening-outer.so"]
    variables = {**os.environ, "LD_LIBRARY_PATH": str(DRIVER), "XDG_CACHE_HOME": CACHE}
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env=variables).stdout
    expect(said == "found by the caller's RUNPATH\n", f"a library that only its caller's RUNPATH leads to: {said}")


def check_folder():
    """What lies in the folder is loaded: nobody else may write there."""
    with tempfile.TemporaryDirectory() as others:
        (Path(others) / "sluice").mkdir(mode=0o777)
        (Path(others) / "sluice").chmod(0o777)
        ours = run("table", XDG_CACHE_HOME=others)
        expect(ours.returncode != 0 and "only this user can write" in ours.stderr, f"a folder of others: {ours.returncode}\n{ours.stdout}{ours.stderr}")
    with tempfile.TemporaryDirectory() as real, tempfile.TemporaryDirectory() as others:
        (Path(others) / "sluice").symlink_to(real)
        ours = run("table", XDG_CACHE_HOME=others)
        expect(ours.returncode != 0 and "only this user can write" in ours.stderr, f"a link of others: {ours.returncode}\n{ours.stdout}{ours.stderr}")
    ours = run("table", SLUICE_CUDA_MANAGED="bogus")
    expect(ours.returncode != 0 and "SLUICE_CUDA_MANAGED=bogus" in ours.stderr, f"a wrong value: {ours.returncode}\n{ours.stdout}{ours.stderr}")


def check_failures():
    for entry in FAILING:
        for number in (1, 4, 40):
            ours = run("work", FAKE_CUDA_FAIL=f"{entry}:{number}")
            told = "error " in ours.stdout or "error" in ours.stderr
            # An access has no way to return an error. Copies do without registered memory, and without a word that tells their end.
            needed = entry not in ("cuMemHostRegister_v2", "cuStreamWriteValue64_v2")
            ended = needed and ours.returncode == -11 and "cannot be answered" in ours.stderr
            expect(ours.returncode == 0 or (ours.returncode == 1 and told) or ended,
                   f"{entry} fails at call {number}: ended with {ours.returncode}\n{ours.stdout}{ours.stderr}")  # fmt: skip


def check_failures_in_streams():
    for entry in ("cuStreamGetCtx", "cuEventCreate", "cuEventQuery", "cuStreamWriteValue64_v2", "cuStreamWaitEvent"):
        ours = run(program=STREAMS, FAKE_CUDA_FAIL=f"{entry}:3")
        told = "error " in ours.stdout or "error" in ours.stderr
        expect(ours.returncode == 0 or (ours.returncode == 1 and told),
               f"{entry} fails: ended with {ours.returncode}\n{ours.stdout}{ours.stderr}")  # fmt: skip


def check_no_driver():
    with tempfile.TemporaryDirectory() as empty:
        ours = run("work", LD_LIBRARY_PATH=empty)
    is_told = ours.returncode == 3 and "there is no CUDA driver here" in ours.stderr
    expect(is_told or Path("/dev/nvidiactl").exists(), f"without a driver: {ours.returncode} {ours.stderr}")


def check_doctor():
    variables = {**os.environ, "LD_LIBRARY_PATH": str(DRIVER)}
    said = subprocess.run([SLUICE, "doctor", "--cuda", "--json"], stdout=subprocess.PIPE, text=True, env=variables, timeout=60)
    seen = json.loads(said.stdout)
    expect(said.returncode == 0 and seen["works"] and seen["driver"].startswith(str(DRIVER)), f"doctor: {seen}")
    expect({"cuMemAllocManaged", "cuLaunchKernel"} <= set(seen["wrapped"]) - set(seen["lacking"]), f"doctor: {seen}")
    text = subprocess.run([SLUICE, "doctor", "--cuda"], stdout=subprocess.PIPE, text=True, env=variables, timeout=60).stdout
    expect("sluice run --cuda works here" in text, f"doctor: {text}")
    # As on a card that PCIe connects, host and GPU have no atomics in common there.
    gpus = subprocess.run([SLUICE, "doctor"], stdout=subprocess.PIPE, text=True, env=variables, timeout=60).stdout
    expect("no native atomics with the host" in " ".join(gpus.split()), f"doctor on GPUs: {gpus}")


with tempfile.TemporaryDirectory() as CACHE:
    check_work()
    check_streams()
    check_table()
    check_names()
    check_opening()
    check_folder()
    check_failures()
    check_failures_in_streams()
    check_no_driver()
    check_doctor()
print("\n".join(complaints))
sys.exit(1 if complaints else 0)
