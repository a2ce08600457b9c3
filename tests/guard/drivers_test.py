"""The habits of drivers (STAND_IN_MANNERS of the stand-in): those of today's Intel driver, of newer ones, and of those that block
SIGSEGV while they touch the host's pages. Programs are right under the guard with each, and with all of them at once."""

from guard_support import GUARDED, PROGRAMS, Complaints, run

MANNERS = ("", "queries", "again", "masks", "queries,again", "queries,again,masks")
# Ways out of handlers, nested faults, defaults: where a driver that passes faults on has part.
CASES = (
    "siglongjmp_out_of_the_handler",
    "longjmp_with_nodefer",
    "throw_out_of_the_handler",
    "touch_inside_the_programs_own_handler",
    "a_handler_that_repairs_and_returns",
    "default_dies",
    "ignored_fault_dies",
    "blocked_touch_goes_on",
    "queries_give_back_the_programs_own",
    "read_into_managed",
)
complaints = Complaints()


def check(what, ended, status, text):
    complaints.expect(ended.returncode == status and text in ended.stdout, f"{what}: {ended}")


native = {case: run(PROGRAMS / "guard-cases", case, SLUICE_CASES="plain") for case in CASES}
for manners in MANNERS:
    driver = {**GUARDED, "STAND_IN_MANNERS": manners}
    check(f"five steps [{manners}]", run(PROGRAMS / "guard-steps", "handler", "50", **driver), 0, "step 5")
    check(f"the program's handler is older [{manners}]", run(PROGRAMS / "guard-late-driver", **driver), 0, "all right")
    for case in CASES if "," in manners else ():
        ended = run(PROGRAMS / "guard-cases", case, SLUICE_CASES="stand_in", **driver)
        wanted = native[case]
        complaints.expect((ended.returncode, ended.stdout) == (wanted.returncode, wanted.stdout), f"{case} [{manners}]: {ended}")
# The habits matter: without the guard, the one livelocks, the other is killed, and the third is a rescue.
check("queries, alone", run(PROGRAMS / "guard-late-driver", STAND_IN_MANNERS="queries"), 9, "again and again")
check("masks, alone", run(PROGRAMS / "guard-steps", "plain", "0", STAND_IN_MANNERS="masks"), -11, "")
check("five steps, alone", run(PROGRAMS / "guard-steps", "handler", "0"), 1, "FAILED")
check("again, alone", run(PROGRAMS / "guard-steps", "handler", "0", STAND_IN_MANNERS="again"), 0, "step 5")

# Names that there is no room for are refused and not cut; as many as there is room for are all known.
too_many = run(PROGRAMS / "guard-steps", "handler", "50", **{**GUARDED, "SLUICE_GUARD_DRIVERS": "libx:" * 300 + "libstand-in-driver.so"})
check("more names than there is room for", too_many, 2, "")
complaints.expect("SLUICE_GUARD_DRIVERS" in too_many.stderr, f"no word of what was refused: {too_many.stderr}")
many = {**GUARDED, "SLUICE_GUARD_DRIVERS": "libx:" * 190 + "libstand-in-driver.so"}
check("as many names as there is room for", run(PROGRAMS / "guard-steps", "handler", "50", **many), 0, "step 5")
complaints.conclude(f"{len(MANNERS)} drivers")
