"""`sluice demo --json` tells the whole story, and a demo without the grade that it needs says so instead of passing."""

from tool_support import Tool

tool = Tool()
grade = tool.run("doctor", "--json")
story = tool.json("demo", "--json", status=0 if '"grade": "full"' in grade.stdout else 1)

tool.expect(len(story["scenarios"]) == 5, f"{len(story['scenarios'])} kinds of host program instead of 5")
if story["grade"] == "full":
    tool.expect(story["demo"] == "PASS", f"demo: {story['demo']}")
    for scenario in story["scenarios"]:
        steps = [(step["device"], step["step"]) for step in scenario["steps"]]
        wanted = [(device, step) for device in (0, 1) for step in (1, 2, 3, 4, 5)]
        tool.expect(steps == wanted, f"{scenario['scenario']}: the steps were {steps}")
        tool.expect(scenario["problem"] is None, f"{scenario['scenario']}: {scenario['problem']}")
        for step in scenario["steps"]:
            look = step["input"]
            tool.expect(" rw-s " in look["mapping"], f"not the application view: {look['mapping']}")
            if step["step"] == 3:
                where = f"device {step['device']}"
                tool.expect(look["residency"] == {where: 256}, f"after the prefetch to {where}: {look['residency']}")
                tool.expect(look["in_host_page_table"] == 0, "the host can still touch what the device has alone")
            if step["step"] == 5:
                tool.expect(step["output"]["residency"].get("host") == 256, f"after the read: {step['output']}")

# Without the right to catch the kernel's accesses four kinds of host program get through, and the fifth is named.
less = tool.json("demo", "--json", "--grade", "user", status=1)
tool.expect(less["demo"].startswith("FAIL"), f"demo: {less['demo']}")
problems = [scenario["problem"] for scenario in less["scenarios"]]
if less["grade"] == "user":
    tool.expect(problems[:4] == [None] * 4, f"problems: {problems}")
    tool.expect("not possible in grade user" in problems[4], f"problem: {problems[4]}")
tool.conclude()
