// Fresh anonymous memory has no page until it is touched, even by a read; mincore reports if one is
// there.
//
// Cost: a mapping and a byte for each page that is checked. What it does not do: see accesses by
// hardware that got the addresses elsewhere, or those before it was laid over.
#include "os/touched_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "os/calls.hpp"
#include "os/errors.hpp"

namespace sluice::os {

Result<TouchedMemory> TouchedMemory::lay_over(AddressSpan span) {
  SLUICE_ASSIGN(window, AddressWindow::adopt(span));
  void* const at = reinterpret_cast<void*>(span.begin.value);  // NOLINT(performance-no-int-to-ptr)
  if (calls().mmap(at, span.size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
    return call_failed(errno, "mmap of plain memory over", span);
  return TouchedMemory(std::move(window));
}

bool TouchedMemory::was_touched() const {
  const AddressSpan span = window_.span();
  std::vector<unsigned char> pages(span.size / page_size);
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  if (::mincore(reinterpret_cast<void*>(span.begin.value), span.size, pages.data()) != 0)
    return true;
  return std::any_of(pages.begin(), pages.end(),
                     [](unsigned char page) { return (page & 1) != 0; });
}

}  // namespace sluice::os
