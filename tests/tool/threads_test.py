"""A thread that cannot be started (ulimit -u, the cgroup's pids.max), whichever it is, ends the tool with a message that names the limits and
the status 3. A preload refuses the Nth thread."""

import subprocess
import tempfile
from pathlib import Path

from tool_support import Tool

REFUSING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  static int left = -1;  // 0: none any more
  if (left < 0) left = atoi(getenv("REFUSED_THREAD"));
  if (left > 0 && --left == 0) {
    fprintf(stderr, "refused\n");
    return EAGAIN;
  }
  int (*real)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, run, argument);
}
"""

SETTINGS = [
    ["stress", "--seconds", "2", "--threads", "3", "--devices", "2", "--working-set", "8MiB", "--handler-changes", "10"],
    ["stress", "--seconds", "2", "--threads", "3", "--devices", "2", "--mapping"],
    ["demo"],
]

tool = Tool()
if not tool.is_sanitized():  # a sanitizer's runtime must be the first library of the process
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "refusing.c").write_text(REFUSING)
        preload = f"{folder}/refusing.so"
        subprocess.run(["cc", "-shared", "-fPIC", f"{folder}/refusing.c", "-o", preload, "-ldl"], check=True)
        for setting in SETTINGS:
            number = 0
            refused = True
            while refused:
                number += 1
                ended = tool.run(*setting, LD_PRELOAD=preload, REFUSED_THREAD=str(number))
                refused = "refused\n" in ended.stderr
                told = ended.returncode == 3 and "EAGAIN, no more threads and processes (ulimit -u" in ended.stderr
                tool.expect(told or ended.returncode == 0, f"{setting}, thread {number}: {ended.returncode}: {ended.stderr[-500:]}")
            tool.expect(number > 8, f"{setting}: only {number - 1} threads were refused")
tool.conclude()
