"""`sluice stress` for a few seconds in three settings that the long run (tool.stress) does not have: next to no device memory,
devices that all fetch pages on demand, and the grade `user`; and for a few more on
the mapping contract. Also: the result has the agreed fields, and a seed is kept."""

from tool_support import Tool

ZERO = ("wrong_bytes", "hangs", "leaks", "violations", "unexpected_errors")
SETTINGS = [
    ["--budget", "4MiB", "--seed", "4711"],
    ["--retry-devices", "2", "--devices", "2"],
    ["--grade", "user", "--threads", "3"],
    ["--threads", "64", "--devices", "8"],
]

tool = Tool()
for setting in SETTINGS:
    result = tool.json("stress", "--seconds", "4", "--working-set", "24MiB", *setting, "--json")
    for field in ZERO:
        tool.expect(result[field] == 0, f"{setting}: {field} is {result[field]}: {result['findings']}")
    tool.expect(result["entry_drops"] > 0, f"{setting}: no page-table entry was dropped: {result}")
    tool.expect(result["operations"] > 0 and result["bytes_checked"] > 0, f"{setting}: nothing was done: {result}")
    tool.expect(result["seed"] == 4711 or "--seed" not in setting, f"{setting}: seed {result['seed']}")
    tool.expect(result["stress"] == "PASS", f"{setting}: {result['stress']}")

result = tool.json("stress", "--mapping", "--seconds", "10", "--threads", "3", "--devices", "4", "--json")
for field in ZERO:
    tool.expect(result[field] == 0, f"--mapping: {field} is {result[field]}: {result['findings']}")
for field in ("operations", "touches", "interruptions"):
    tool.expect(result["mapping"][field] > 0, f"--mapping: {field} is 0: {result['mapping']}")
for field in ("asked", "blocks", "fills", "bytes_compared", "queue_stops"):
    tool.expect(result["mapping"]["relocations"][field] > 0, f"--mapping: {field} is 0: {result['mapping']}")
tool.expect(result["stress"] == "PASS", f"--mapping: {result['stress']}")
tool.conclude()
