"""`sluice top`: it sees the spaces of the user's processes and of nobody else's, in whatever state they are, and trusts nothing that it reads."""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
import unicodedata

from tool_support import Tool

tool = Tool()
LIMIT = 120  # seconds


def spaces(process=None, delay="0", command=None):
    asked = ["top", "--once", "--json", "--delay", delay] + (["--pid", str(process)] if process else [])
    if command:
        ended = subprocess.run([*command, str(tool.path), *asked], capture_output=True, text=True)
        tool.expect(ended.returncode == 0, f"{command}: {ended.stderr}")
        return json.loads(ended.stdout)["spaces"]
    return tool.json(*asked)["spaces"]


def eventually(holds, complaint):
    until = time.monotonic() + LIMIT
    while not (found := holds()):
        if time.monotonic() > until:
            tool.expect(False, complaint)
            return found
        time.sleep(0.05)
    return found


def busy(*more):
    command = [tool.path, "stress", "--seconds", "300", "--devices", "2", "--threads", "2", "--working-set", "8MiB", *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


# What a busy program shows.
program = busy()
try:
    (shown,) = eventually(lambda: [s for s in spaces(program.pid) if s["counters"]["launches"] > 0], "the program is not shown") or [{}]
    tool.expect(shown["program"] == "sluice" and shown["answers"] and shown["space"] >= 1, f"{shown}")
    tool.expect(shown["grade"] in ("full", "user", "signal"), f"grade: {shown['grade']}")
    tool.expect(len(shown["devices"]) == 2 and all("software" in d["name"] and d["budget"] > 0 for d in shown["devices"]), "devices")
    tool.expect(shown["per_second"] is None, "rates of one look")
    worst = eventually(lambda: [r for s in spaces(program.pid) for r in s["worst"] if r["bytes_to_devices"]], "no range is listed")
    tool.expect(all(re.fullmatch("0x[0-9a-f]+", r["address"]) and r["size"] > 0 for r in worst), f"ranges: {worst[:2]}")
    rates = eventually(lambda: [s["per_second"] for s in spaces(program.pid, delay="0.5") if s["per_second"]], "no rates")
    tool.expect(rates and rates[0].keys() == shown["counters"].keys(), "the rates are not those of the counters")
    tool.expect(program.pid in {s["pid"] for s in spaces()}, "it is not among all")
    text = tool.run("top", "--once", "--delay", "0.2", "--pid", str(program.pid)).stdout
    tool.expect("a second" in text and "device 1" in text and "faults/s" in text, f"the text: {text}")

    # A stopped program does not answer; its last state stays.
    program.send_signal(signal.SIGSTOP)
    stopped = spaces(program.pid)
    tool.expect(len(stopped) == 1 and not stopped[0]["answers"], f"stopped: {stopped}")
    tool.expect("no answer" in tool.run("top", "--once", "--delay", "0", "--pid", str(program.pid)).stdout, "it is not told")
    program.send_signal(signal.SIGCONT)
    eventually(lambda: spaces(program.pid)[0]["answers"], "it answers no more")

    # Another user sees nothing of it, whatever is asked for.
    if os.getuid() == 0:
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        reached = subprocess.run([*other, str(tool.path), "--version"], capture_output=True).returncode == 0
        if reached:
            tool.expect(spaces(program.pid, command=other) == [], "another user sees it")
            tool.expect(program.pid not in {s["pid"] for s in spaces(command=other)}, "another user sees it among all")
finally:
    kill(program)
tool.expect(spaces(program.pid) == [], "a killed process left something")

# The screen: it draws, scrolls in a small terminal, and ends at q with the terminal as it was.
program = busy()
try:
    eventually(lambda: spaces(program.pid), "the program is not shown")
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm", LINES="12", COLUMNS="70")
        os.execv(tool.path, ["sluice", "top", "--delay", "0.1", "--pid", str(program.pid)])
    drawn = b""

    def drew(text):
        global drawn
        while select.select([terminal], [], [], 0)[0]:
            try:
                drawn += os.read(terminal, 65536)
            except OSError:
                return True
        return text in drawn

    eventually(lambda: drew(b"q: quit"), "no screen")
    eventually(lambda: drew(str(program.pid).encode()), f"the process is not drawn: {drawn[-500:]}")
    os.write(terminal, b"\x1b[B\x1b[6~\x1b[A")
    os.write(terminal, b"q")
    status = None

    def ended():
        global status
        drew(b"")
        process, status = os.waitpid(child, os.WNOHANG)
        return process == child

    eventually(ended, "q does not end it")
    tool.expect(status == 0, f"the screen ended with {status}")
    tool.expect(b"\x1b[?1049l" in drawn, "the terminal was not put back")
finally:
    kill(program)

# Pages of whatever content, and of any size, from a process that calls them so.
hostile = r"""
import ctypes, os, random, sys, time
seed, header = int(sys.argv[1]), bytes.fromhex(sys.argv[2])
random.seed(seed)
libc = ctypes.CDLL(None, use_errno=True)
for size in (0, 100, 65536):
    page = libc.memfd_create(b"sluice-status", 0)
    os.write(page, (header + random.randbytes(65536))[:size])
    request = libc.memfd_create(b"sluice-status-request", 0)
    os.write(request, random.randbytes(8)[:size])
print("ready", flush=True)
time.sleep(600)
"""
for seed in range(4):
    # The magic word, the version, an even number, and a space.
    header = struct.pack("<IIII", 0x50434C53, 1, 2 * seed, seed)
    liar = subprocess.Popen([sys.executable, "-c", hostile, str(seed), header.hex()], stdout=subprocess.PIPE, text=True)
    liar.stdout.readline()
    ended = tool.run("top", "--once", "--delay", "0", "--pid", str(liar.pid))
    tool.expect(ended.returncode == 0, f"a hostile page: {ended.returncode} {ended.stderr}")
    tool.expect("no answer" in ended.stdout, f"a hostile page: {ended.stdout[:200]}")
    tool.expect(not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in ended.stdout.replace("\n", "")), "control characters of a hostile page")
    tool.expect(len(spaces(liar.pid)) == 1, "one of the three pages is whole")
    kill(liar)

ended = tool.run("top")
tool.expect(ended.returncode == 3 and "--once" in ended.stderr, f"without a terminal: {ended.returncode} {ended.stderr}")
ended = tool.run("top", "--json")
tool.expect(ended.returncode == 2, "--json without --once")
tool.expect(tool.run("top", "--once", "--delay", "0", "--pid", "999999999").returncode == 0, "a process that does not exist")
tool.conclude()
