// Files that are part of a program or library: SLUICE_EMBED(name, "file") in one source, outside of
// all namespaces, and there SLUICE_EMBEDDED(name) is their bytes, aligned to 64.
#pragma once

#include <span>

#define SLUICE_EMBED(name, file)                 \
  asm(".pushsection .rodata\n"                   \
      ".balign 64\n" #name                       \
      "_begin:\n"                                \
      ".incbin \"" file "\"\n" #name             \
      "_end:\n"                                  \
      ".byte 0\n"                                \
      ".popsection\n");                          \
  extern "C" const unsigned char name##_begin[]; \
  extern "C" const unsigned char name##_end[];

#define SLUICE_EMBEDDED(name) (std::span<const unsigned char>{name##_begin, name##_end})
