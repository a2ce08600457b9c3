"""A program that is built with clang's MemorySanitizer opens a space in each grade and uses its memory. That sanitizer knows a few ranges
of addresses only, and ends programs that map anything elsewhere, so managed addresses must lie where it lets programs map.

Of libraries that are not built with it, as this one, it knows no initialized memory; its options poison_in_malloc and poison_in_free make
up for that.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
#include <sluice.h>
#include <stdio.h>
#include <stdlib.h>

static void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  fprintf(stderr, "%s\\n", sluice_last_error());
  exit(1);
}

int main(void) {
  struct sluice_space_options options = {.size = sizeof options, .best_grade = GRADE};
  sluice_space* space = NULL;
  need(sluice_space_open(&options, &space));
  void* memory = NULL;
  need(sluice_allocate(space, 4 << 20, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &memory));
  volatile unsigned* const words = memory;
  if (words[77] != 0) return 2;  // untouched memory has a value
  for (unsigned i = 0; i < 1U << 20; i += 512) words[i] = i;
  struct sluice_fence fence = {0};
  need(sluice_prefetch(space, memory, 4 << 20, 0, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));
  for (unsigned i = 0; i < 1U << 20; i += 512)
    if (words[i] != i) return 3;
  need(sluice_free(space, memory));
  sluice_space_close(space);
  puts("right");
  return 0;
}
"""
GRADES = {"full": "SLUICE_GRADE_FULL", "user": "SLUICE_GRADE_USER", "signal": "SLUICE_GRADE_SIGNAL"}
FLAGS = (["-fsanitize=memory"], ["-fsanitize=memory", "-fsanitize-memory-track-origins"])


def main():
    source, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    compiler = shutil.which("clang") or shutil.which("clang-19")
    if compiler is None:
        print("skipped: there is no clang; apt install clang")
        sys.exit(77)
    wrong, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "program"
        link = [f"-I{source}/include", f"-L{build}/lib", "-lsluice", f"-Wl,-rpath,{build}/lib"]
        for flags in FLAGS:
            for grade, name in GRADES.items():
                text = PROGRAM.replace("GRADE}", f"{name}}}")
                made = subprocess.run([compiler, "-x", "c", "-", "-O1", *flags, *link, "-o", binary], input=text, capture_output=True, text=True)
                if made.returncode != 0:
                    print(f"skipped: {' '.join(flags)} does not link here: {made.stderr.strip()[-300:]}")
                    sys.exit(77)
                ended = subprocess.run([binary], capture_output=True, text=True, timeout=60, env={**os.environ, "MSAN_OPTIONS": "poison_in_malloc=0:poison_in_free=0"})
                tried += 1
                if ended.returncode != 0 or ended.stdout != "right\n":
                    wrong.append(f"{' '.join(flags)}, grade {grade}: {ended.returncode}: {ended.stdout}{ended.stderr}")
    print("\n".join([*wrong, f"{tried} programs, {len(wrong)} of them wrong"]))
    sys.exit(1 if wrong else 0)


main()
