"""A trace of the program with planted mistakes, and what a report says of it."""

from pathlib import Path


def trace_costly(tool, folder, *options, argument=()):
    """Runs the program below `sluice trace`, and gives back the file."""
    trace = Path(folder) / "costly.json"
    trace.unlink(missing_ok=True)
    costly = tool.path.parent.parent / "tests" / "costly"
    ended = tool.run("trace", f"--trace={trace}", *options, "--", costly, *argument)
    tool.expect(ended.returncode == 0, f"costly: {ended.returncode}: {ended.stderr}")
    return trace


def line_of(source, comment):
    """The line of the planted program that has the comment, as a report tells it."""
    path = Path(source) / "tests" / "tool" / "programs" / "costly.cc"
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.endswith(f"// {comment}"):
            return f"costly.cc:{number}"
    raise KeyError(comment)
