"""Runs an OpenCL program below the layer, the way a user does: `sluice run --opencl -- PROGRAM`.

    run_support.py [--remote] [--bare] [--guard] [--preload | --both] [--fails TEXT | --hangs TEXT] [--print] [--times N] PROGRAM [ARGUMENT...]

--remote: on a remote device of PoCL's (pocl_remote_support.py). --bare: without the layer. --guard: with the guard besides. --preload: the layer preloaded instead; --both: and besides. --fails: it must fail and say this. --hangs: it must say this (a pattern), and is ended then. --print: what it says is printed also when all is good. --times: that many runs, two at a time, all of which must be good.
Skips (77) with a clear word where the driver or the program is not there, or where the program ends with 77 and says why. Otherwise the driver is chosen by the environment.
"""

import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pocl_remote_support


def take(words, name, default=None):
    if name not in words:
        return default
    at = words.index(name)
    value = words[at + 1]
    del words[at : at + 2]
    return value


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def says(line, pattern):
    """Whether a program that may never end says this within the time of a test."""
    running = subprocess.Popen(line, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ending = threading.Timer(200, running.kill)
    ending.start()
    said = []
    for one in running.stdout:
        said.append(one)
        if re.search(pattern, one):
            print(one)
            break
    else:
        print(f"it ended, or said nothing for long, and not '{pattern}':\n{''.join(said)}")
        pattern = None
    ending.cancel()
    running.kill()
    running.wait()
    return pattern is not None


def main():
    words = sys.argv[1:]
    at = next(i for i, word in enumerate(words) if word.startswith("/"))
    options, command = words[:at], words[at:]
    # The option's text may itself not begin with a slash; programs are absolute.
    if "--remote" in options:
        options.remove("--remote")
        try:
            with pocl_remote_support.devices():
                run(options, command)
        except pocl_remote_support.Missing as why:
            skip(why)
    run(options, command)


def run(options, command):
    """Never returns."""
    bare = "--bare" in options
    if bare:
        options.remove("--bare")
    guard = ["--guard"] if "--guard" in options else []
    if guard:
        options.remove("--guard")
    layer = {"--preload": ["--opencl-preload"], "--both": ["--opencl", "--opencl-preload"]}
    way = next((layer[option] for option in options if option in layer), ["--opencl"])
    options = [option for option in options if option not in layer]
    prints = "--print" in options
    fails = take(options, "--fails")
    hangs = take(options, "--hangs")
    times = int(take(options, "--times", "1"))

    vendor = Path(os.environ["OCL_ICD_VENDORS"])
    if not vendor.exists():
        skip(f"there is no {vendor}; scripts/install_packages test installs the drivers")
    if not Path(command[0]).exists():
        skip(f"{Path(command[0]).name} is not built: its source is looked for in ../shared/sources beside the repository")
    if "rusticl" in vendor.name:
        # Mesa writes its compiled shaders to a cache that runs at the same time would share.
        os.environ["MESA_SHADER_CACHE_DISABLE"] = "true"

    line = command if bare else [os.environ["SLUICE_TOOL"], "run", *way, *guard, "--", *command]

    if hangs:
        sys.exit(0 if says(line, hangs) else 1)

    def once(_):
        return subprocess.run(line, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)

    bad = 0
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(once, range(times)):
            if result.returncode == 77:
                print(result.stdout)
                sys.exit(77)
            good = result.returncode != 0 and fails in result.stdout if fails else result.returncode == 0
            if not good:
                bad += 1
                print(f"status {result.returncode}:")
            if prints or not good:
                print(result.stdout)
    print(f"{times - bad} of {times} runs were good")
    sys.exit(1 if bad else 0)


main()
