// How large each allocation of a program is: the stand-in's interface does not say it again at a
// launch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace managed {

class Sizes {
 public:
  void* remember(void* allocation, std::size_t size) {
    const std::lock_guard hold(lock_);
    sizes_[allocation] = size;
    return allocation;
  }
  [[nodiscard]] std::uint32_t ints_of(void* allocation) {
    const std::lock_guard hold(lock_);
    return static_cast<std::uint32_t>(sizes_.at(allocation) / sizeof(int));
  }
  void add_on_host(void* allocation, int value) {
    const std::uint32_t count = ints_of(allocation);
    for (std::uint32_t i = 0; i < count; ++i) static_cast<int*>(allocation)[i] += value;
  }

 private:
  std::mutex lock_;
  std::map<void*, std::size_t> sizes_;
};

}  // namespace managed
