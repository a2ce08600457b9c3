// IdTable: values by number, each new one under the lowest free number, as the kernel's idr.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace sluice::kfd {

template <typename T>
class IdTable {
 public:
  // Numbers from `first` on.
  explicit IdTable(std::uint32_t first = 0) : next_(first) {}

  // The number that the next value gets.
  [[nodiscard]] std::uint32_t lowest_free() const { return free_.empty() ? next_ : *free_.begin(); }
  std::pair<std::uint32_t, T*> add(T value) {
    const std::uint32_t id = lowest_free();
    if (free_.empty())
      ++next_;
    else
      free_.erase(free_.begin());
    return {id, &values_.insert_or_assign(id, std::move(value)).first->second};
  }
  [[nodiscard]] T* find(std::uint32_t id) {
    const auto found = values_.find(id);
    return found == values_.end() ? nullptr : &found->second;
  }
  void remove(std::uint32_t id) {
    if (values_.erase(id) != 0) free_.insert(id);
  }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] auto begin() noexcept { return values_.begin(); }
  [[nodiscard]] auto end() noexcept { return values_.end(); }

 private:
  std::map<std::uint32_t, T> values_;
  std::set<std::uint32_t> free_;  // below next_
  std::uint32_t next_;
};

}  // namespace sluice::kfd
