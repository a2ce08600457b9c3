// MappedQueue: a queue whose memory comes from mmap(2), for code that answers access faults: the
// thread that faulted may hold the lock of the program's allocator.
//
// It begins with a page at the first push, doubles when it is full, and gives nothing back before
// its end.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "base/types.hpp"
#include "os/calls.hpp"

namespace sluice::os {

template <typename T>
class MappedQueue {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= page_size);

 public:
  MappedQueue() = default;
  MappedQueue(const MappedQueue&) = delete;
  MappedQueue& operator=(const MappedQueue&) = delete;
  ~MappedQueue() { unmap(slots_, capacity_); }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // The oldest is number 0.
  [[nodiscard]] T& operator[](std::size_t number) noexcept {
    return slots_[(first_ + number) % capacity_];
  }
  // Returns false if Linux refuses the memory; the queue is then as before.
  [[nodiscard]] bool push(const T& value) noexcept {
    if (size_ == capacity_ && !grow()) return false;
    ++size_;
    (*this)[size_ - 1] = value;
    return true;
  }
  void pop() noexcept {
    first_ = (first_ + 1) % capacity_;
    --size_;
  }

 private:
  [[nodiscard]] bool grow() noexcept {
    const std::size_t capacity = std::max(page_size / sizeof(T), 2 * capacity_);
    void* const memory = calls().mmap(nullptr, capacity * sizeof(T), PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    T* const slots = static_cast<T*>(memory);
    for (std::size_t i = 0; i < size_; ++i) slots[i] = (*this)[i];
    unmap(std::exchange(slots_, slots), std::exchange(capacity_, capacity));
    first_ = 0;
    return true;
  }
  static void unmap(T* slots, std::size_t capacity) noexcept {
    if (slots != nullptr) calls().munmap(slots, capacity * sizeof(T));
  }

  T* slots_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace sluice::os
