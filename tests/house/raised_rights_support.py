"""What the tests of programs with raised rights share."""

import os
import struct
from pathlib import Path

USER = 65534  # nobody
# A program or library of it leaves a file, and says for whom it ran.
MARK = """
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void mark(void) {
  FILE* file = fopen("%s", "w");
  if (file != NULL) { fprintf(file, "ran with user %%d\\n", (int)geteuid()); fclose(file); }
}
"""
CAP_NET_RAW = 1 << 13


def give_capability(program: Path):
    """What setcap cap_net_raw+ep does: struct vfs_cap_data of linux/capability.h, version 2, effective."""
    os.setxattr(program, "security.capability", struct.pack("<IIIII", 0x02000001, CAP_NET_RAW, 0, 0, 0))
