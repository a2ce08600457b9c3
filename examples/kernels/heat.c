/* One step of a rod bundle: each cell becomes the mean of itself and its neighbours in the rows
   above and below. */
#include "heat.h"

#include "sluice/soft_kernel.h"

void heat(const sluice_soft_work* work, const void* arguments) {
  const struct heat_arguments* const a = arguments;
  const uint64_t width = a->grid->width;
  const uint64_t begin = (a->first_row + work->begin) * width;
  const uint64_t end = (a->first_row + work->end) * width;
  const float* const cells = a->grid->cells;
  for (uint64_t i = begin; i < end; ++i)
    a->grid->next[i] = (cells[i - width] + cells[i] + cells[i + width]) / 3;
}
