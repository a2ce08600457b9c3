"""`sluice run --strict` finds what a program forgot to name, goes on or stops as asked, and is off without it."""

import subprocess
import tempfile
from pathlib import Path

from tool_support import Tool

FORGETFUL = r"""
#include <sluice.h>
#include <sluice/soft_kernels_builtin.h>
#include <stdio.h>

int main(void) {
  sluice_space* space = NULL;
  sluice_queue* queue = NULL;
  void* named = NULL;
  void* forgotten = NULL;
  struct sluice_kernel kernel;
  struct sluice_fence fence;
  struct sluice_space_options options = {.size = sizeof options};
  if (sluice_space_open(&options, &space) != SLUICE_OK || sluice_queue_create(space, 0, &queue) != SLUICE_OK) return 3;
  if (sluice_allocate(space, 4096, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &named) != SLUICE_OK) return 3;
  if (sluice_allocate(space, 4096, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &forgotten) != SLUICE_OK) return 3;
  *(volatile unsigned*)forgotten = 1;
  if (sluice_kernel_find(space, 0, NULL, "fill", &kernel) != SLUICE_OK) return 3;
  struct sluice_soft_fill arguments = {forgotten, 42};
  struct sluice_use use = {named, 4096, SLUICE_ACCESS_WRITE};
  struct sluice_launch launch = {.size = sizeof launch, .kernel = kernel, .arguments = &arguments, .argument_size = sizeof arguments,
                                 .items = 4, .uses = &use, .use_count = 1};
  if (sluice_launch_submit(queue, &launch, &fence) != SLUICE_OK) return 3;
  int done = sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING) == SLUICE_OK;
  printf("%s, %u\n", done ? "done" : "ended", done ? *(volatile unsigned*)forgotten : 0);
  sluice_queue_destroy(queue);
  sluice_space_close(space);
  return 0;
}
"""

tool = Tool()
if not tool.is_sanitized():  # a sanitizer's library needs its runtime in the program
    build = tool.path.parent.parent
    source = Path(__file__).resolve().parent.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "forgetful.c").write_text(FORGETFUL)
        program = f"{folder}/forgetful"
        subprocess.run(["cc", f"{folder}/forgetful.c", "-o", program, f"-I{source}/include", f"-L{build}/lib", "-lsluice",
                        f"-Wl,-rpath,{build}/lib"], check=True)  # fmt: skip
        for option, outcome in (("--strict", "done, 42"), ("--strict=report", "done, 42"), ("--strict=stop", "ended, 0")):
            ended = tool.run("run", option, "--", program)
            told = "strict:" in ended.stderr and "does not name" in ended.stderr and "'fill'" in ended.stderr
            tool.expect(told and ended.stdout.strip() == outcome, f"{option}: {ended.returncode}: {ended.stdout}{ended.stderr}")
        off = tool.run("run", "--", program, SLUICE_STRICT="0")
        tool.expect("strict:" not in off.stderr, f"without it: {off.stdout}{off.stderr}")
tool.conclude()
