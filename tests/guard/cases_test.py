"""Every item of the list in docs/signals.md, in four settings: natively (plain memory), under the guard with the stand-in driver,
with the signal source under the guard, and with userfaultfd. What a program prints and how it ends must be the same in all.

Cases named limit_* show what is known to differ, and how; guarded_* what is certain with the guard only.
"""

import re
from concurrent.futures import ThreadPoolExecutor

from guard_support import GUARD, GUARDED, PROGRAMS, SOURCE, Complaints, run

SETTINGS = {
    "plain": {"SLUICE_CASES": "plain"},
    "stand_in": {"SLUICE_CASES": "stand_in", **GUARDED},
    "signal": {"SLUICE_CASES": "signal", "LD_PRELOAD": str(GUARD)},
    "userfaultfd": {"SLUICE_CASES": "userfaultfd"},
}

# Where a limit shows: the case, and how it ends and what it prints instead, with a driver in front of SIGSEGV.
EFAULT = "-1 errno 14"
IN_FRONT = {
    "limit_raw_read": (0, f"{EFAULT} memory right 1"),
    "limit_mask_set_by_assembly": (-11, ""),
    "limit_sigstkflt": (0, "blocked 0"),
    "limit_sigstkflt_ignored": (0, "ignored 1"),
    "limit_signalfd": (0, "signal 16"),
    "limit_a_blocked_signal_of_another_process_interrupts": (0, "read -1 errno 4"),
    "limit_getcontext": (0, "SEGV 0 STKFLT 1"),
    "limit_ignoring_beside_threads": (0, "ignored 0 default 1"),
    "limit_shell_without_the_guard": (0, "ignored 0"),
    "limit_file_name": (0, "opened 0 errno 14"),
    "limit_small_arguments": (0, f"clock_gettime {EFAULT}"),
    "limit_ioctl": (0, f"ioctl {EFAULT}"),
    "limit_setvbuf": (0, f"byte {EFAULT}"),
    "limit_memory_of_another_process": (0, f"process_vm_readv {EFAULT}"),
    "limit_io_uring": (0, "read -14"),
}
# The same for those that do not hang on that, with the settings where they show.
ELSEWHERE = {
    "limit_pinned_pages": (0, "byte o", ("stand_in", "signal", "userfaultfd")),
    "limit_an_allocator_that_waits": (0, "waits", ("signal", "userfaultfd")),
    "limit_a_handler_that_interrupts_sluice": (0, "waits", ("signal", "userfaultfd")),
}
LIMITS = {(case, setting): limit for case, limit in IN_FRONT.items() for setting in ("stand_in", "signal")}
LIMITS |= {(case, setting): limit for case, (*limit, settings) in ELSEWHERE.items() for setting in settings}
LIMITED = {case for case, _ in LIMITS}
LACKS = 77  # the case needs what this machine does not have
# Where Linux leaves the outcome to chance and the guard does not.
CERTAIN_WITH_THE_GUARD = {"guarded_exec_keeps_ignoring_whatever_threads_do": "kept 60 of 60"}

program = PROGRAMS / "guard-cases"
complaints = Complaints()


def outcome(case, setting):
    ended = run(program, case, **SETTINGS[setting])
    return ended.returncode, ended.stdout, ended.stderr


def look_at(case):
    found = []
    if case in CERTAIN_WITH_THE_GUARD:
        for setting in ("stand_in", "signal"):
            got = outcome(case, setting)
            if CERTAIN_WITH_THE_GUARD[case] not in got[1]:
                found.append(f"{case} [{setting}]: {got}")
        return found
    native = outcome(case, "plain")
    if native[0] == LACKS:
        print(f"{case} is left out: {native[1]}")
        return []
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
complaints.expect(LIMITED == {case for case in cases if case.startswith("limit_")}, "limits and their cases")
documented = set(re.findall(r"`(limit_\w+)`", (SOURCE / "docs" / "signals.md").read_text()))
complaints.expect(documented == LIMITED, f"docs/signals.md and the limits: {documented ^ LIMITED}")
with ThreadPoolExecutor(2) as pool:
    for found in pool.map(look_at, cases):
        complaints.lines += found
# The comparison can fail: without the guard, faults go to a handler that is set later, a blocked SIGSEGV kills, and the kernel is refused.
for case in ("touch_inside_the_programs_own_handler", "blocked_touch_goes_on", "read_into_managed"):
    for source in ("stand_in", "signal"):
        unguarded = run(program, case, SLUICE_CASES=source)
        complaints.expect((unguarded.returncode, unguarded.stdout) != outcome(case, "plain")[:2], f"{case} [{source}] needs no guard")
complaints.conclude(f"{len(cases)} cases, {len(SETTINGS)} settings")
