"""`sluice doctor`: the JSON has what bug reports need, and the text ends with a verdict that agrees with it."""

import shutil
import subprocess

from tool_support import Tool

FIELDS = {
    "usable": bool,
    "grade": str,
    "grade_reason": str,
    "machine": dict,
    "kernel": dict,
    "huge_pages": dict,
    "limits": dict,
    "memory": dict,
    "sigsegv": dict,
    "back_ends": dict,
    "strict": str,
    "devices": list,
    "problems": list,
}

tool = Tool()
ended = tool.run("doctor")
facts = tool.json("doctor", "--json", status=ended.returncode)

for field, kind in FIELDS.items():
    tool.expect(isinstance(facts.get(field), kind), f"{field} should be a {kind.__name__}, is {facts.get(field)!r}")
tool.expect(facts["grade"] in {"none", "signal", "user", "full"}, f"no grade: {facts['grade']}")
tool.expect((facts["grade"] == "full") == (facts["grade_reason"] == ""), f"a lesser grade has a reason: {facts}")
tool.expect(facts["limits"]["max_map_count"] > 0, f"limits: {facts['limits']}")
tool.expect(facts["sigsegv"]["action"] in {"default", "ignored", "handler"}, f"sigsegv: {facts['sigsegv']}")
for problem in facts["problems"]:
    for field in ("severity", "what", "meaning", "remedy"):
        tool.expect(problem.get(field), f"a problem without {field}: {problem}")
if facts["usable"]:
    tool.expect(len(facts["devices"]) > 0, "it works, but no device was opened and asked")
    told = " ".join(ended.stdout.split())
    for device in facts["devices"]:
        tool.expect(device["native_atomics"] and device["read_only_mappings"], f"kernels of software GPUs run on the host's CPUs: {device}")
    tool.expect("native atomics with the host" in told, f"the text does not tell of atomics:\n{ended.stdout}")

tool.expect(ended.returncode == (0 if facts["usable"] else 1), f"status {ended.returncode}, usable {facts['usable']}")
if not facts["usable"]:
    verdict = "doctor: Sluice does not work here"
elif facts["grade"] == "full":
    verdict = "doctor: Sluice works here"
else:
    verdict = f"doctor: Sluice works here in grade {facts['grade']}; what that leaves out is said above"
tool.expect(ended.stdout.rstrip().endswith(verdict), f"no verdict at the end:\n{ended.stdout}")
# Doctor's word is good for the demo.
demo = tool.run("demo")
tool.expect((demo.returncode == 0) == facts["usable"], f"doctor says usable: {facts['usable']}; demo: {demo.stdout[-300:]}{demo.stderr}")
tool.expect(facts["grade"] in ended.stdout, "the text does not tell the grade")

# A libfabric that watches memory with userfaultfd is in the way, and doctor says so.
monitored = tool.json("doctor", "--json", status=ended.returncode, FI_MR_CACHE_MONITOR="userfaultfd")
tool.expect(
    any("FI_MR_CACHE_MONITOR" in problem["what"] for problem in monitored["problems"]), "libfabric's monitor was not noticed"
)

# Under valgrind no space can be opened, and the error names valgrind.
valgrind = shutil.which("valgrind")
if valgrind is not None and not tool.is_sanitized():
    under = subprocess.run([valgrind, "-q", tool.path, "doctor"], capture_output=True, text=True, timeout=300, check=False)
    tool.expect(under.returncode == 1 and "valgrind" in under.stdout, f"doctor under valgrind: {under.stdout}{under.stderr}")
tool.conclude()
