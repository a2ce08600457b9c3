"""`sluice stress` in grade signal: alone, and under the guard with a thread that changes the handlers of SIGSEGV 200 times a second.
Not a byte may be wrong."""

import json

from guard_support import BUILD, Complaints, run

complaints = Complaints()
sluice = BUILD / "bin" / "sluice"
STRESS = ["stress", "--source", "signal", "--seconds", "10", "--threads", "6", "--devices", "3", "--json"]
ZERO = ("wrong_bytes", "hangs", "leaks", "violations", "unexpected_errors")

for what, command in {
    "alone": [sluice, *STRESS],
    "handlers change": [sluice, "run", "--guard", "--", sluice, *STRESS, "--handler-changes", "200"],
}.items():
    ended = run(*command)
    complaints.expect(ended.returncode == 0, f"{what}: {ended.returncode}\n{ended.stdout}{ended.stderr}")
    if ended.returncode != 0:
        continue
    result = json.loads(ended.stdout)
    complaints.expect(result["grade"] == "signal", f"{what}: grade {result['grade']}")
    complaints.expect(result["space"]["cpu_faults"] > 0, f"{what}: no faults")
    for field in ZERO:
        complaints.expect(result[field] == 0, f"{what}: {field} is {result[field]}")
complaints.conclude("stress in grade signal")
