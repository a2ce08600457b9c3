"""Every item of the list in docs/signals.md, in four settings: natively (plain memory), under the guard with the stand-in driver,
with the signal source under the guard, and with userfaultfd. What a program prints and how it ends must be the same in all.

Cases named limit_* show what is known to differ, and how.
"""

from concurrent.futures import ThreadPoolExecutor

from guard_support import GUARD, GUARDED, PROGRAMS, Complaints, run

SETTINGS = {
    "plain": {"SLUICE_CASES": "plain"},
    "stand_in": {"SLUICE_CASES": "stand_in", **GUARDED},
    "signal": {"SLUICE_CASES": "signal", "LD_PRELOAD": str(GUARD)},
    "userfaultfd": {"SLUICE_CASES": "userfaultfd"},
}

# Where a limit shows: (case, setting) -> what is printed or how it ends instead.
LIMITS = {
    ("limit_raw_read", "stand_in"): (0, "-1 errno 14 memory right 1"),
    ("limit_raw_read", "signal"): (0, "-1 errno 14 memory right 1"),
    ("limit_mask_set_by_assembly", "stand_in"): (-11, ""),
    ("limit_mask_set_by_assembly", "signal"): (-11, ""),
    ("limit_sigstkflt", "stand_in"): (0, "blocked 0"),
    ("limit_sigstkflt", "signal"): (0, "blocked 0"),
    ("limit_signalfd", "stand_in"): (0, "signal 16"),
    ("limit_signalfd", "signal"): (0, "signal 16"),
    ("limit_file_name", "stand_in"): (0, "opened 0 errno 14"),
    ("limit_file_name", "signal"): (0, "opened 0 errno 14"),
}

program = PROGRAMS / "guard-cases"
complaints = Complaints()


def outcome(case, setting):
    ended = run(program, case, **SETTINGS[setting])
    return ended.returncode, ended.stdout, ended.stderr


def look_at(case):
    found = []
    native = outcome(case, "plain")
    for setting in SETTINGS:
        if setting == "plain":
            continue
        got = outcome(case, setting)
        if (case, setting) in LIMITS:
            status, text = LIMITS[case, setting]
            if got[0] != status or text not in got[1] or got[:2] == native[:2]:
                found.append(f"{case} [{setting}]: not the limit that is stated:\n{got}")
        elif got[:2] != native[:2]:
            found.append(f"{case} [{setting}] differs\n--- native {native[0]}\n{native[1]}--- here {got[0]}\n{got[1]}{got[2]}")
    return found


cases = run(program, "--list").stdout.split()
complaints.expect(len(cases) > 60, f"only {len(cases)} cases")
complaints.expect({case for case, _ in LIMITS} <= set(cases), "a limit without its case")
with ThreadPoolExecutor(2) as pool:
    for found in pool.map(look_at, cases):
        complaints.lines += found
# The comparison can fail: without the guard, the stand-in's faults go to a handler that is set later.
for case in ("touch_inside_the_programs_own_handler", "blocked_touch_goes_on", "read_into_managed"):
    unguarded = run(program, case, SLUICE_CASES="stand_in")
    complaints.expect((unguarded.returncode, unguarded.stdout) != outcome(case, "plain")[:2], f"{case} needs no guard")
complaints.conclude(f"{len(cases)} cases, {len(SETTINGS)} settings")
