"""`sluice demo` tells the whole story in every grade: below grade full it runs itself under the guard, and a kind of host program that
needs more than there is says so, and is no failure."""

from tool_support import Tool

KINDS = 5

tool = Tool()
story = tool.json("demo", "--json")
has_guard = (tool.path.parent.parent / "lib" / "libsluice-guard.so").exists()


def expect_all_right(story):
    tool.expect(story["demo"] == "PASS", f"demo: {story['demo']}")
    tool.expect(len(story["scenarios"]) == KINDS, f"{len(story['scenarios'])} kinds of host program instead of {KINDS}")
    for scenario in story["scenarios"]:
        steps = [(step["device"], step["step"]) for step in scenario["steps"]]
        wanted = [(device, step) for device in (0, 1) for step in (1, 2, 3, 4, 5)]
        tool.expect(steps == wanted, f"{scenario['scenario']}: the steps were {steps}")
        tool.expect(scenario["problem"] is None, f"{scenario['scenario']}: {scenario['problem']}")
        for step in scenario["steps"]:
            look = step["input"]
            tool.expect(" rw-s " in look["mapping"] or story["grade"] == "signal", f"not the application view: {look['mapping']}")
            if step["step"] == 3:
                where = f"device {step['device']}"
                tool.expect(look["residency"] == {where: 256}, f"after the prefetch to {where}: {look['residency']}")
                # In grade signal the entries stay, and the mapping has no rights.
                touchable = look["in_host_page_table"] if story["grade"] != "signal" else 0
                tool.expect(touchable == 0, "the host can still touch what the device has alone")
            if step["step"] == 5:
                tool.expect(step["output"]["residency"].get("host") == 256, f"after the read: {step['output']}")


if story["grade"] == "full" or has_guard:
    expect_all_right(story)
for grade in ("user", "signal"):
    less = tool.json("demo", "--json", "--grade", grade)
    tool.expect(less["grade"] == grade or story["grade"] != "full", f"--grade {grade}: grade {less['grade']}")
    tool.expect(less["guard"] == has_guard, f"--grade {grade}: under the guard: {less['guard']}")
    if has_guard:
        expect_all_right(less)

# Where the guard is not to be had, what needs it says so. (A preload of that name that is not there: the demo does not try again.)
for grade, lacking in (("user", 1), ("signal", 4)):
    less = tool.json("demo", "--json", "--grade", grade, LD_PRELOAD="/nonexistent/libsluice-guard.so")
    needs = [scenario["needs"] for scenario in less["scenarios"] if scenario["needs"]]
    if less["grade"] == grade:
        tool.expect(less["demo"].startswith(f"PASS in grade {grade}"), f"without the guard: {less['demo']}")
        tool.expect(len(needs) == lacking and all("guard" in need for need in needs), f"without the guard: {needs}")

# In few lines what becomes of each, and every step on request.
brief = tool.run("demo").stdout.splitlines()
tool.expect(15 <= len(brief) <= 24 and brief[-1] == "demo: PASS", f"{len(brief)} lines: {brief}")
for words in ("elsewhere", "here"):
    tool.expect(sum(line.strip().startswith(words) for line in brief) == KINDS, f"not {KINDS} times {words}: {brief}")
tool.expect(any(line.startswith("Grade ") for line in brief), f"no grade: {brief}")
verbose = tool.run("demo", "--verbose").stdout
tool.expect(verbose.count("Step 5:") == 2 * KINDS and verbose.endswith("demo: PASS\n"), f"--verbose: {verbose[:500]}")
if has_guard:
    text = tool.run("demo", "--grade", "user").stdout
    tool.expect("under the guard" in text, f"the text does not say that it runs under the guard:\n{text[:500]}")
tool.conclude()
