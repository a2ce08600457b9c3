// Replaces operator new by one that counts; the sanitizers still see malloc.
#include <cstdlib>
#include <new>

#include "device/no_allocation.hpp"

namespace sluice::device::testing {
namespace {

thread_local std::size_t allocations = 0;

void* counted(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

std::size_t allocations_of_this_thread() noexcept { return allocations; }

}  // namespace sluice::device::testing

void* operator new(std::size_t size) { return sluice::device::testing::counted(size); }
void* operator new[](std::size_t size) { return sluice::device::testing::counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
