"""What is essential, as an ordinary user: without capabilities and without /dev/userfaultfd, so in grade user. The suite of the fault
sources, the demo, doctor, and README's program, also with four times the data that the device holds.

Run by root, it becomes `nobody` for that. Run by anybody else, whose own run of the suites this is already, it leaves them out."""

import re
import subprocess
import sys
from pathlib import Path

from tool_support import Tool

source = Path(sys.argv[1]).resolve()
build = Path(sys.argv[2]).resolve()
sys.path.insert(0, str(source / "tests"))
from as_an_ordinary_user import OrdinaryUser  # noqa: E402

tool = Tool()
user = OrdinaryUser(tool.path)


def expect_good(what, ended, text=""):
    good = ended.returncode == 0 and text in ended.stdout
    tool.expect(good, f"{what} ended with {ended.returncode}:\n{ended.stdout[-3000:]}{ended.stderr[-1000:]}")


def build_program(name, text):
    (user.folder / f"{name}.cc").write_text(text)
    flags = [f"-I{source / 'include'}", f"-L{build / 'lib'}", "-lsluice", f"-Wl,-rpath,{build / 'lib'}"]
    subprocess.run(["c++", "-std=c++20", user.folder / f"{name}.cc", "-o", user.folder / name, *flags], check=True)
    return user.folder / name


def replaced(text, old, new):
    tool.expect(text.count(old) == 1, f"README's program has {text.count(old)} times {old}")
    return text.replace(old, new)


def larger_than_the_device(text):
    """Twice 16 MiB for a device of 8 MiB, and every value looked at."""
    text = replaced(text, "n = 1 << 20", "n = 1 << 22")
    text = replaced(text, "Space::open()", "Space::open({.software = {.memory_size = 8 << 20}})")
    return replaced(text, "  return y[7] == 6", "  for (std::size_t i = 0; i < n; ++i) if (y[i] != 6) return 2;\n  return y[7] == 6")


told = user.run(tool.path, "doctor", "--json")
if user.is_root:
    tool.expect('"grade": "user"' in told.stdout, f"not in grade user: {told.stdout[:300]}{told.stderr}")
expect_good("doctor", told)
expect_good("the demo", user.run(tool.path, "demo"), "demo: PASS")
expect_good("the demo with data of four times the device", user.run(tool.path, "demo", "--device-memory", "2MiB", "--data", "8MiB"), "demo: PASS")
if not tool.is_sanitized():
    readme = re.search(r"```cpp\n(.*?)```", (source / "README.md").read_text(), re.DOTALL)[1]
    expect_good("README's program", user.run(build_program("readme", readme)), "y[7] = 6")
    large = build_program("large", larger_than_the_device(readme))
    expect_good("README's program with data of four times the device", user.run(large), "y[7] = 6")
if user.is_root:
    # HandlerSpinPolicy is pure, and knows no user.
    for ended in user.run_suite(build / "tests" / "fault_test", "--gtest_filter=-HandlerSpinPolicy.*", shards=2):
        expect_good("the suite of fault", ended)
tool.conclude()
