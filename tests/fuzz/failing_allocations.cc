// Replaces the allocation functions of the process by ones that count down to a failure.
#include "failing_allocations.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

#ifndef SLUICE_SANITIZED
extern "C" {
void* __libc_malloc(std::size_t size);                     // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(std::size_t count, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __libc_realloc(void* memory, std::size_t size);      // NOLINT(bugprone-reserved-identifier)
void* __libc_memalign(std::size_t alignment,
                      std::size_t size);  // NOLINT(bugprone-reserved-identifier)
}
#endif

namespace sluice::fuzz {
namespace {

constexpr int deepest = 40;
constinit std::atomic<long> left{0};  // allocations up to the one that fails; 0: none fails
constinit std::atomic<bool> failed{false};
void* place[deepest];
constinit std::atomic<int> place_depth{0};

bool is_to_fail() noexcept {
  if (left.load(std::memory_order_relaxed) <= 0 || left.fetch_sub(1) != 1) return false;
  place_depth = ::backtrace(place, deepest);
  failed = true;
  return true;
}

void* plain_malloc(std::size_t size) noexcept {
#ifdef SLUICE_SANITIZED
  return std::malloc(size);
#else
  return __libc_malloc(size);
#endif
}

void* plain_aligned(std::size_t alignment, std::size_t size) noexcept {
#ifdef SLUICE_SANITIZED
  return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
#else
  return __libc_memalign(alignment, size);
#endif
}

void* allocate(std::size_t size) {
  if (!is_to_fail())
    if (void* const memory = plain_malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void* allocate(std::size_t size, std::align_val_t alignment) {
  if (!is_to_fail())
    if (void* const memory = plain_aligned(static_cast<std::size_t>(alignment), size))
      return memory;
  throw std::bad_alloc();
}

}  // namespace

void fail_allocation(long nth) noexcept {
  left = 0;
  failed = false;
  place_depth = 0;
  left = nth;
}
bool allocation_failed() noexcept { return failed; }
void show_failed_allocation() noexcept {
  ::backtrace_symbols_fd(place, place_depth, STDERR_FILENO);
}
void prepare_failing_allocations() noexcept { (void)::backtrace(place, 1); }

}  // namespace sluice::fuzz

void* operator new(std::size_t size) { return sluice::fuzz::allocate(size); }
void* operator new[](std::size_t size) { return sluice::fuzz::allocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return sluice::fuzz::allocate(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return sluice::fuzz::allocate(size, alignment);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return sluice::fuzz::is_to_fail() ? nullptr : sluice::fuzz::plain_malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

#ifndef SLUICE_SANITIZED
// A sanitizer has functions of its own in their place.
namespace {

void* refused() noexcept {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

extern "C" {
void* malloc(std::size_t size) {
  return sluice::fuzz::is_to_fail() ? refused() : __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  return sluice::fuzz::is_to_fail() ? refused() : __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  return sluice::fuzz::is_to_fail() ? refused() : __libc_realloc(memory, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  return sluice::fuzz::is_to_fail() ? refused() : __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif
