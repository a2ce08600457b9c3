"""`sluice doctor` on Intel's driver: libraries with versions, GPUs, whether the bug strikes here, and the command to type.

    doctor_support.py SOURCE_DIR BUILD_DIR

Run by root, it shows the doctor a made-up /sys/class in a mount namespace of its own: a discrete GPU, and an integrated one.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from driver_support import CAPTURE, LIBRARIES, require_driver

require_driver()
sluice = Path(sys.argv[2]).resolve() / "bin" / "sluice"
wrong = []

SYS = """
mount --make-rprivate / && mount -t tmpfs none /sys/class && mkdir -p /sys/class/drm/renderD128 /sys/class/pci/{address} &&
echo 0x8086 >/sys/class/pci/{address}/vendor && echo 0x{id} >/sys/class/pci/{address}/device &&
ln -s /sys/class/pci/{address} /sys/class/drm/renderD128/device || exit 77
exec "$0" "$@"
"""


def doctor(*options, gpu=None, **environment):
    command = [str(sluice), "doctor", *options]
    if gpu:
        command = ["unshare", "-m", "sh", "-c", SYS.format(address=gpu[0], id=gpu[1]), *command]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=120, env={**os.environ, **environment})
    return ended.stdout, ended.returncode


def expect(holds, complaint):
    if not holds:
        wrong.append(complaint)


def look(what, strikes, remedy, said, **setting):
    facts = json.loads(doctor("--json", **setting)[0])["intel"]
    expect(facts["bug_strikes"] is strikes and remedy in facts["remedy"] and said in facts["verdict"], f"{what}: {facts}")
    text = doctor(**setting)[0]
    expect(said in text and remedy in text, f"{what}, as text:\n{text}")
    return facts


facts = look("capture mode", True, "sluice run --guard", "capture mode", **CAPTURE)
paths = {library["path"] for library in facts["libraries"]}
expect(paths >= {str(Path(library).resolve()) for library in LIBRARIES.values()}, f"libraries: {facts}")
expect(all(library["version"].count(".") == 2 for library in facts["libraries"]), f"versions: {facts}")
if os.geteuid() == 0 and doctor("--json", gpu=("0000:03:00.0", "4905"))[1] != 77:
    facts = look("a discrete GPU", True, "sluice run --guard", "discrete GPU", gpu=("0000:03:00.0", "4905"))
    expect(facts["gpus"] == [{"address": "0000:03:00.0", "id": "8086:4905", "discrete": True}], f"GPUs: {facts}")
    look("an integrated GPU", False, "make demo-intel", "integrated GPU only", gpu=("0000:00:02.0", "9a49"))
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
