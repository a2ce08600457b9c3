/* Types shared by halos_and_structs.cc and its kernel. */
#pragma once

#include <stdint.h>

/* A structure in managed memory with pointers to more of it. */
struct heat_grid {
  const float* cells; /* rows of `width` */
  float* next;        /* the same after a step */
  uint64_t width;
};

struct heat_arguments {
  const struct heat_grid* grid;
  uint64_t first_row; /* item i is row first_row + i */
};
