"""The five steps on the stand-in driver: fine without a handler; dead with one; saved by the guard, at the driver's own speed."""

import re

from guard_support import GUARDED, PROGRAMS, Complaints, run

complaints = Complaints()
steps = PROGRAMS / "guard-steps"


def microseconds(ended):
    found = re.search(r"access ([0-9.]+) us", ended.stdout)
    return float(found.group(1)) if found else None


native = run(steps)
complaints.expect(native.returncode == 0 and "step 5" in native.stdout, f"without a handler: {native}")
broken = run(steps, "handler")
complaints.expect(broken.returncode == 1 and "the program's handler got" in broken.stdout, f"with a handler it must fail: {broken}")
saved = run(steps, "handler", **GUARDED)
complaints.expect(saved.returncode == 0 and "step 5" in saved.stdout, f"under the guard: {saved}")
first = run(steps, "handler", LD_PRELOAD=GUARDED["LD_PRELOAD"], SLUICE_GUARD_FIRST="1")
complaints.expect(first.returncode == 0, f"by the option: {first}")
if native.returncode == 0 and saved.returncode == 0:
    print(f"an access: {microseconds(native)} us natively, {microseconds(saved)} us under the guard, "
          f"ratio {microseconds(saved) / microseconds(native):.3f}")
complaints.conclude("five steps")
