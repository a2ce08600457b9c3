"""Each call of libc that the guard watches, with what it takes in managed memory: the lines of `guard-rows` must be those of a native run
on plain memory, in the grades user and signal, once with the memory on the device and many times while a thread sends it there over and over.
The same as an ordinary user, where this runs as root. Results of which the page leaves between the guard and the kernel's store are
told once, and nothing is sent, read or set twice for them (leaving_pages.cc).
"""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from guard_support import BUILD, GUARD, PROGRAMS, SOURCE, Complaints, run

ROUNDS = 5
NOBODY = 65534
# A thread of libc's makes these calls later, so the program holds a lease until they are done (docs/signals.md).
LATER = {"aio_read", "aio_read64", "aio_write", "aio_write64", "lio_listio", "lio_listio64"}
# What the guard exports for other reasons than buffers and locks; tests/guard/cases/ has it.
NOT_ROWS = set("""
__sigaction __sysv_signal __xpg_sigpause bsd_signal execl execle execlp execv execve execvp execvpe fexecve gsignal kill posix_spawn
posix_spawnp pthread_attr_getsigmask_np pthread_attr_setsigmask_np pthread_kill pthread_sigmask pthread_sigqueue raise sigaction sigblock
siggetmask sighold sigignore siginterrupt signal sigpending sigprocmask sigqueue sigrelse sigset sigsetmask sigsuspend sigtimedwait
sigwait sigwaitinfo ssignal sysv_signal tgkill sluice_guard_add_window sluice_guard_register sluice_guard_remove_window
""".split())

program = PROGRAMS / "guard-rows"
complaints = Complaints()


def lines_of(ended):
    """The lines by the name of the call; a call of several rounds has several."""
    lines = {}
    for line in ended.stdout.splitlines():
        lines.setdefault(line.partition(":")[0], []).append(line)
    return lines


def can_run_as_nobody():
    try:
        return subprocess.run([program, "plain"], user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True).returncode == 0
    except PermissionError:
        return False


users = {"": {}}
if os.geteuid() == 0:
    if can_run_as_nobody():
        users[" as an ordinary user"] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    else:
        print(f"not tried as an ordinary user, who may not read {BUILD}: build below a folder that others may enter")


def start(setting):
    grade, rounds, guarded, user = setting
    environment = {**os.environ, **({"LD_PRELOAD": str(GUARD)} if guarded else {})}
    return subprocess.run([program, grade, str(rounds)], capture_output=True, text=True, errors="replace", timeout=400,
                          stdin=subprocess.DEVNULL, env=environment, **users[user])


settings = [("plain", 1, False, user) for user in users]
settings += [("plain", 1, True, ""), *((grade, rounds, True, user) for user in users for grade in ("user", "signal") for rounds in (1, ROUNDS))]
# The comparison can fail: without the guard, the calls do.
settings += [("user", 1, False, "")]
with ThreadPoolExecutor(2) as pool:
    ended = dict(zip(settings, pool.map(start, settings)))

for setting in settings:
    grade, rounds, guarded, user = setting
    native = lines_of(ended["plain", 1, False, user])
    found = ended[setting]
    what = f"{grade}{', under the guard' if guarded else ''}{user}, {rounds} rounds"
    if found.returncode == 77:
        print(f"not tried: {what}: {found.stderr.strip()}")
        continue
    if grade == "user" and not guarded:
        complaints.expect(lines_of(found) != native, f"{what} needs no guard")
        continue
    complaints.expect(found.returncode == 0 and "end" in native, f"{what} ended with {found.returncode}: {found.stdout[-300:]} {found.stderr}")
    for name, lines in lines_of(found).items():
        if name in LATER and rounds > 1:
            continue
        expected = [line for line in native.get(name, []) for _ in range(1 if name == "end" else rounds)]
        wrong = [pair for pair in zip(lines, expected) if pair[0] != pair[1]]
        complaints.expect(len(lines) == len(expected) and not wrong, f"{what}: {len(wrong)} of {len(lines)} {name}:\n  {wrong[:1]}")

exported = {line.split()[-1] for line in run("nm", "-D", "--defined-only", GUARD).stdout.splitlines()}
rows = set(lines_of(ended["plain", 1, False, ""])) - {"end"}
complaints.expect(exported - NOT_ROWS - rows == set(), f"calls without a row: {sorted(exported - NOT_ROWS - rows)}")
documented = (SOURCE / "docs" / "signals.md").read_text()
for name in sorted(exported - NOT_ROWS):
    plain = name.strip("_").removesuffix("_chk").replace("64v2", "2").replace("64", "")
    complaints.expect(plain in documented or plain.startswith(("xstat", "lxstat", "fxstat")), f"docs/signals.md does not name {name}")
complaints.conclude(f"{len(rows)} calls, {len(settings)} settings")
