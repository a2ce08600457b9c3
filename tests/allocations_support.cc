// Replaces operator new by one that counts and tells; the sanitizers still see malloc.
#include <cstdlib>
#include <new>
#include <utility>

#include "allocations.hpp"

namespace sluice {
namespace {

thread_local std::size_t allocations = 0;
thread_local const std::function<void()>* told = nullptr;

void* allocate(std::size_t size) {
  ++allocations;
  if (const auto* const act = std::exchange(told, nullptr); act != nullptr) {
    (*act)();
    told = act;
  }
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* allocate_or_null(std::size_t size) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

std::size_t allocations_of_this_thread() noexcept { return allocations; }

AtEachAllocation::AtEachAllocation(std::function<void()> act) : act_(std::move(act)) {
  told = &act_;
}
AtEachAllocation::~AtEachAllocation() { told = nullptr; }

}  // namespace sluice

void* operator new(std::size_t size) { return sluice::allocate(size); }
void* operator new[](std::size_t size) { return sluice::allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return sluice::allocate_or_null(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return sluice::allocate_or_null(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
