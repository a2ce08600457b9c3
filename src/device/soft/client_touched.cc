// Finds the pages that kernels of a software GPU have used: Linux has entered them into the page
// table of its process since they were mapped there.
//
// Linux enters up to 16 pages of 4 KiB around one that is read (fault_around_bytes), and huge pages
// whole, so the answer is an upper bound. Cost: 8 bytes read for each page of the span.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "device/soft/client.hpp"
#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"

namespace sluice::device::soft {

std::optional<std::size_t> SoftDevice::touched(AddressSpan span) const noexcept {
  const std::shared_ptr<Child> process = child();
  if (process == nullptr || !usable()) return std::nullopt;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/pagemap", static_cast<int>(process->number()));
  os::OwnedFd pagemap;
  {
    const os::NewDescriptors making;
    pagemap = os::OwnedFd(::open(path, O_RDONLY | O_CLOEXEC));
  }
  if (!pagemap.is_open()) return std::nullopt;
  // proc_pid_pagemap(5): bit 63 is set where the page is there.
  std::array<std::uint64_t, 1024> entries{};
  const std::uint64_t first = span.begin.value / page_size;
  const std::uint64_t end = (span.end().value + page_size - 1) / page_size;
  std::size_t pages = 0;
  for (std::uint64_t at = first; at < end;) {
    const std::size_t wanted = std::min<std::size_t>(entries.size(), end - at) * sizeof entries[0];
    const ssize_t size =
        ::pread(pagemap.get(), entries.data(), wanted, static_cast<off_t>(at * sizeof entries[0]));
    if (size <= 0) return std::nullopt;
    const std::size_t count = static_cast<std::size_t>(size) / sizeof entries[0];
    for (std::size_t i = 0; i < count; ++i) pages += entries[i] >> 63;
    at += count;
  }
  return std::min(pages * page_size, span.size);
}

}  // namespace sluice::device::soft
