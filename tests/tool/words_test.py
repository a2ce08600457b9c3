"""Random words never crash the tool: whatever the command line, it ends with one of the statuses that it documents, and a refusal says
where to look. Every command line here has a mistake in it, so that none takes long."""

import random

from tool_support import VERBS, Tool

OPTIONS = (
    "--json --opencl --grade --source --seconds --rounds --threads --devices --cuda --seed --working-set --budget --recoverable-fault-devices"
    " --handler-changes --without --hang-seconds --mapping --chaos --progress --guard --driver --first --opencl-preload --trace --gpus"
    " --size --parts --help --version -h -- - -x --="
).split()
VALUES = (
    "0 1 -1 4 64 65 1e9 1e999 nan inf -inf 0x10 18446744073709551615 18446744073709551616 99999999999999999999999999 4MiB 4 MiB 4KB 1.5GiB"
    " .5k k -4k full user signal none perfect lease,advise , ,, 0,0 0,1, faults moves / /dev/null /nonexistent %p %s%n {} {0} \\ \" ' * é \u0007"
).split(" ") + ["", " ", "x" * 5000, "a\nb", "=", "--grade=", "--seconds=1", "--budget=4MiB", "--no-such-option=1"]

STARTING = [["run"], ["trace"]]  # programs

tool = Tool()
seed = random.randrange(2**32)
print(f"seed {seed}")
chance = random.Random(seed)
for _ in range(100 if tool.is_sanitized() else 400):
    verb = chance.choice([v for v in VERBS if v not in STARTING] + [*STARTING, [chance.choice(VALUES)]])
    words = [chance.choice(OPTIONS if chance.random() < 0.5 else VALUES) for _ in range(chance.randrange(7))]
    arguments = [*verb, *words]
    if verb not in STARTING:
        arguments.insert(chance.randrange(len(verb), len(arguments) + 1), "--no-such-option")
    else:
        arguments.append("/nonexistent/program")
    ended = tool.run(*arguments, timeout=60)
    tool.expect(ended.returncode in (0, 2, 3), f"seed {seed}: {arguments} ended with {ended.returncode}: {ended.stderr}")
    if ended.returncode == 2:
        tool.expect("--help" in ended.stderr, f"seed {seed}: {arguments} is refused without a hint: {ended.stderr}")
    if ended.returncode == 0:
        tool.expect("-h" in arguments or "--help" in arguments, f"seed {seed}: {arguments} was accepted: {ended.stdout[:300]}")
tool.conclude()
