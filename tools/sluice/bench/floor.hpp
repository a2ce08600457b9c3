// Floor: the kernel's own minor fault on a memory file, the baseline for access faults in user
// space.
//
// An equal mapping of small pages: the bytes are in the file, the page-table entries are dropped,
// and a store brings one back. Stores, because for loads the kernel maps 16 pages around the one
// that was touched, and that is no longer one fault.
#pragma once

#include <cstddef>
#include <vector>

#include "os/owned_fd.hpp"

namespace sluice::tool::bench {

class Floor {
 public:
  explicit Floor(std::size_t size);
  Floor(const Floor&) = delete;
  Floor& operator=(const Floor&) = delete;
  ~Floor();

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  // Makes all pages present, and drops the entries of all of them.
  void map_all();
  void drop(std::size_t bytes);
  void drop() { drop(size_); }

 private:
  os::OwnedFd file_;
  std::size_t size_;
  std::byte* data_;
};

// One store to each page. The first: microseconds of each. The second: of all together.
[[nodiscard]] std::vector<double> time_each_store(std::byte* data, std::size_t size);
[[nodiscard]] double time_all_stores(std::byte* data, std::size_t size);

}  // namespace sluice::tool::bench
