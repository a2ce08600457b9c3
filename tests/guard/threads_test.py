"""More threads than Sluice keeps stacks wait for a kernel in their SIGSEGV handlers, on small alternate stacks: all read what is right, and
nothing below those stacks is overwritten. Alone and under the guard.
"""

from guard_support import GUARD, PROGRAMS, Complaints, run

complaints = Complaints()
for count in (65, 300):
    for what, environment in {"alone": {}, "under the guard": {"LD_PRELOAD": str(GUARD)}}.items():
        ended = run(PROGRAMS / "guard-threads", count, **environment)
        complaints.expect(ended.returncode == 0 and ended.stdout == f"right {count} overwritten 0\n", f"{count} threads, {what}: {ended}")
complaints.conclude("threads that wait")
