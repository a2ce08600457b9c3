"""A command line that makes no sense is refused with the status 2, by a message that names what was refused and says where to
look; nothing is done before. Help works everywhere and shows examples."""

from tool_support import VERBS, Tool

# Arguments, and what the complaint must contain.
REFUSED = [
    ([], "subcommand"),
    (["dance"], "dance"),
    (["demo", "--grade", "perfect"], "perfect"),
    (["demo", "--fast"], "--fast"),
    (["doctor", "please"], "please"),
    (["stress", "--seconds", "-1"], "-1"),
    (["stress", "--seconds", "soon"], "soon"),
    (["stress", "--threads", "0"], "0"),
    (["stress", "--threads", "65"], "65"),
    (["stress", "--devices", "65"], "65"),
    (["stress", "--working-set", "1"], "1"),
    (["stress", "--budget", "lots"], "lots"),
    (["stress", "--budget", "4XiB"], "4XiB"),
    (["stress", "--budget", "-4MiB"], "-4MiB"),
    (["stress", "--budget", "1MiB"], "1MiB"),
    (["stress", "--budget", "1e300GiB"], "1e300GiB"),
    (["stress", "--rounds", "0"], "0"),
    (["stress", "--without", "sleep"], "sleep"),
    (["stress", "--grade", "none"], "none"),
    (["stress", "--chaos", "--threads", "3"], "--threads"),
    (["run"], "program"),
    (["run", "--"], "program"),
    (["run", "--guard", "--"], "program"),
    (["nosuchverb", "--help"], "nosuchverb"),
    (["--help", "nosuchverb"], "nosuchverb"),
    (["demo", "please", "--help"], "please"),
    (["bench", "everything", "--help"], "everything"),
    (["nosuchverb", "--version"], "nosuchverb"),
    (["bench"], "subcommand"),
    (["bench", "everything"], "everything"),
    (["bench", "faults", "--rounds", "0"], "0"),
]

tool = Tool()
for arguments, named in REFUSED:
    ended = tool.run(*arguments)
    tool.expect(ended.returncode == 2, f"{arguments} ended with {ended.returncode}")
    tool.expect(named in ended.stderr, f"{arguments}: the complaint does not name {named!r}:\n{ended.stderr}")
    tool.expect("--help" in ended.stderr, f"{arguments}: the complaint does not say where to look:\n{ended.stderr}")
    tool.expect(ended.stdout == "", f"{arguments} printed to stdout:\n{ended.stdout}")

for verb in VERBS:
    ended = tool.run(*verb, "--help")
    tool.expect(ended.returncode == 0, f"{verb} --help ended with {ended.returncode}")
    tool.expect("sluice" in ended.stdout, f"{verb} --help shows nothing:\n{ended.stdout}")
    # Names behind which numbers stand are shown without the numbers.
    tool.expect("->" not in ended.stdout, f"{verb} --help shows what concerns nobody:\n{ended.stdout}")
tool.expect("{full,user,signal}" in tool.run("demo", "--help").stdout.replace(" ", ""), "demo --help does not name the grades")
tool.expect("--json" in tool.run("stress", "--help").stdout, "stress --help does not mention --json")
tool.expect(tool.run("--version").stdout.startswith("sluice "), "--version")
tool.conclude()
