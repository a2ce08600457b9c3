"""`sluice stress --chaos`: hundreds of short programs under kills, stops, signals, faults and forks. None has a wrong byte, hangs, or
leaves a process behind, and all kinds of trouble happened."""

from tool_support import Tool

ZERO = ("wrong_bytes", "hangs", "leaks", "violations", "unexpected_errors")
HAPPENED = (
    "programs_killed",
    "programs_stopped",
    "operations",
    "bytes_checked",
    "bytes_lost",
    "launches_failed",
    "devices_killed",
    "devices_stopped",
    "devices_reset",
    "signals",
    "forks",
)

tool = Tool()
rounds = 60 if tool.is_sanitized() else 400
result = tool.json("stress", "--chaos", "--rounds", str(rounds), "--json", timeout=900)
for field in ZERO:
    tool.expect(result[field] == 0, f"{field} is {result[field]}: " + "\n".join(result["findings"]))
for field in HAPPENED:
    tool.expect(result[field] > 0, f"{field} is 0, so nothing of it was tried: {result}")
tool.expect(result["rounds"] == rounds or result["findings"], f"{result['rounds']} of {rounds} rounds")
print({field: result[field] for field in ("seed", "seconds", *HAPPENED, "rounds_by_grade")})

# A seed names its round.
again = tool.json("stress", "--chaos", "--rounds", "1", "--seed", "4711", "--json")
tool.expect(again["seed"] == 4711 and again["rounds"] == 1, f"a round again: {again}")
tool.conclude()
