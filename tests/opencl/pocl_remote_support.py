"""PoCL's remote devices over loopback: a real driver whose devices have memory of their own, with coarse-grain SVM.

SLUICE_POCLD names the server, pocld, and SLUICE_POCL_ICD an .icd file of the driver that is its client. docs/opencl.md, "How it is tested", says which PoCL they can be of: none that is looked for here by itself, because PoCL 7.1 as it is now and then ends the program.
"""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

GET_IT = "docs/opencl.md, \"How it is tested\", says how to get it"


class Missing(Exception):
    """Why there is no remote device here."""


def free_ports():
    """The first of three ports in a row, which pocld takes; another program may be faster."""
    for _ in range(100):
        first = random.randrange(20000, 32000)
        try:
            for port in range(first, first + 3):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
    raise Missing("no three free ports in a row")


def answers(server, port):
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def ends_with_this_process():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextmanager
def server(pocld, icd, folder):
    environment = {name: value for name, value in os.environ.items() if name != "OPENCL_LAYERS"}
    environment |= {
        "OCL_ICD_VENDORS": icd,
        "POCL_DEVICES": "cpu",
        "POCL_CACHE_DIR": f"{folder}/server",
        "POCLD_COARSE_GRAIN_SVM": "1",
        "POCLD_COARSE_GRAIN_SVM_MAX_SIZE": "4096",
    }
    os.mkdir(f"{folder}/server")
    for _ in range(5):
        port = free_ports()
        with open(f"{folder}/log", "w") as log:
            running = subprocess.Popen(
                [pocld, "-a", "127.0.0.1", "-p", str(port)],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=ends_with_this_process,
            )
        if answers(running, port):
            break
        running.kill()
        running.wait()
    else:
        print(Path(f"{folder}/log").read_text())
        sys.exit("pocld does not answer")
    try:
        yield port
    finally:
        running.kill()
        running.wait()


@contextmanager
def devices():
    """Sets the environment of programs so that the only device is a remote one. Raises Missing."""
    pocld, icd = (os.environ.get(name, "") for name in ("SLUICE_POCLD", "SLUICE_POCL_ICD"))
    if not Path(pocld).is_file() or not Path(icd).is_file():
        raise Missing(f"SLUICE_POCLD and SLUICE_POCL_ICD do not name PoCL's remote server and client; {GET_IT}")
    with tempfile.TemporaryDirectory() as folder, server(pocld, icd, folder) as port:
        os.mkdir(f"{folder}/client")
        os.environ |= {
            "OCL_ICD_VENDORS": icd,
            "POCL_DEVICES": "remote",
            "POCL_REMOTE0_PARAMETERS": f"127.0.0.1:{port}/0",
            "POCL_CACHE_DIR": f"{folder}/client",
        }
        # PoCL 7.1's client takes its standard input for a pipe of its own, and loses its connection where
        # that has an end or something to read.
        nothing, held = os.pipe()
        os.dup2(nothing, 0)
        found = subprocess.run([os.environ["SLUICE_TOOL"], "doctor", "--opencl"], text=True, capture_output=True, timeout=100)
        said = " ".join((found.stdout + found.stderr).split())
        if "Portable Computing Language" not in said or "no SVM" in said:
            raise Missing(f"PoCL has no remote devices here, or none with SVM ({said}); {GET_IT}")
        if "svm: coarse-grain SVM: pages move" not in said:
            sys.exit(f"PoCL's remote device is not served by svm: {said}")
        yield
        os.close(held)
