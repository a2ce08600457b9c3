// ForkMark: tells the process that made it from the children that it forks.
//
// A page that Linux fills with zeros in every child (MADV_WIPEONFORK, Linux 4.14), so asking costs one load and needs no
// fork handler, which could be bypassed.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <new>

#include "base/result.hpp"
#include "base/types.hpp"
#include "os/errors.hpp"

namespace sluice::device::soft {

class ForkMark {
 public:
  ForkMark() noexcept = default;
  ForkMark(const ForkMark&) = delete;
  ForkMark& operator=(const ForkMark&) = delete;
  ~ForkMark() {
    if (mark_ != nullptr) munmap(mark_, page_size);
  }

  // Until then nobody owns it.
  [[nodiscard]] Result<void> make() noexcept {
    void* page = mmap(nullptr, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return os::call_failed(errno, "mapping a page");
    mark_ = new (page) std::atomic<int>(1);
    if (madvise(page, page_size, MADV_WIPEONFORK) != 0) return os::call_failed(errno, "MADV_WIPEONFORK");
    return {};
  }
  [[nodiscard]] bool is_ours() const noexcept { return mark_ != nullptr && mark_->load(std::memory_order_relaxed) != 0; }

 private:
  std::atomic<int>* mark_ = nullptr;
};

}  // namespace sluice::device::soft
