"""Help and doctor fit the terminal that they are read on, and 80 columns where there is none. A command stays in one piece."""

import fcntl
import os
import pty
import struct
import subprocess
import termios

from tool_support import VERBS, Tool


def on_terminal(path, arguments, columns):
    """What it prints on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([path, *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the last writer has gone
            break
        if not part:
            break
        text += part
    process.wait()
    os.close(ours)
    return text.decode().replace("\r\n", "\n")


tool = Tool()


def expect_to_fit(what, text, columns):
    previous = ""
    for line in text.splitlines():
        is_command = previous.rstrip().endswith("type:")
        tool.expect(len(line) <= columns or is_command, f"{what}: a line of {len(line)} columns on {columns}: {line}")
        previous = line


for verb in VERBS:
    expect_to_fit(f"{verb} --help", tool.run(*verb, "--help").stdout, 80)
    for columns in (60, 120):
        text = on_terminal(tool.path, [*verb, "--help"], columns)
        expect_to_fit(f"{verb} --help", text, columns)
expect_to_fit("doctor", tool.run("doctor").stdout, 80)
expect_to_fit("doctor", on_terminal(tool.path, ["doctor"], 60), 60)
wide = on_terminal(tool.path, ["stress", "--help"], 160)
tool.expect(max(map(len, wide.splitlines())) > 80, "a wide terminal is not used")
tool.conclude()
