// Finds and reserves a window of managed addresses.
//
// Candidates are tried one by one with MAP_FIXED_NOREPLACE, and the result is compared with the
// request: kernels before 4.17 ignore the flag, and ThreadSanitizer drops hints outside its own
// application ranges. A refused candidate costs one system call. Where the windows are:
//   32 TiB .. 80 TiB    free on x86-64 and arm64 Linux: executables load from 85 TiB up (or below
//                       4 GiB), the rest of the process grows down from 128 TiB, and
//                       AddressSanitizer's shadow ends at 16 TiB.
//   17 TiB .. 32 TiB    for use when the first is taken.
//   81 TiB .. 85 TiB    for MemorySanitizer, which leaves programs little else.
//   128 GiB .. 480 GiB  under ThreadSanitizer, because its shadow covers the others; windows
//                       of at most 128 GiB.
// It does not support 39-bit address spaces with large windows: there the halving ends in a small
// one, or in an error.
#include "os/address_window.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "os/calls.hpp"
#include "os/errors.hpp"

// ThreadSanitizer's run time defines it, wherever that comes from: the compiler's own macro would
// miss a library that was built without it in a program that was built with it.
extern "C" __attribute__((weak)) void
__tsan_init();  // NOLINT(bugprone-reserved-identifier,readability-identifier-naming)

namespace sluice::os {
namespace {

constexpr std::size_t gib = std::size_t{1} << 30;
constexpr std::size_t tib = std::size_t{1} << 40;
constexpr const char* window_name = "sluice window";
constexpr int reservation_flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

// No process has addresses from here on: x86-64 with five levels of page tables ends here,
// everything else ends earlier.
constexpr std::uintptr_t end_of_addresses = std::uintptr_t{1} << 56;

struct Region {
  std::uintptr_t begin;
  std::uintptr_t end;
};

constexpr Region usual_regions[] = {
    {32 * tib, 80 * tib}, {17 * tib, 32 * tib}, {81 * tib, 85 * tib}};
constexpr Region thread_sanitizer_regions[] = {{128 * gib, 480 * gib}};
constexpr std::size_t thread_sanitizer_limit = 128 * gib;

bool under_thread_sanitizer() noexcept { return __tsan_init != nullptr; }

void name(AddressSpan span) noexcept {
  (void)calls().name_memory(pointer_for_call(span.begin), span.size,
                            window_name);  // a kernel without it loses nothing
}

// 0, or the errno; EEXIST when the addresses are in use.
int try_to_reserve(AddressSpan wanted) noexcept {
  void* const hint = pointer_for_call(wanted.begin);
  void* const got =
      calls().mmap(hint, wanted.size, PROT_NONE, reservation_flags | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) return errno;
  if (got == hint) return 0;
  calls().munmap(got, wanted.size);
  return EEXIST;
}

// The first free candidate for `size` bytes, or the last errno.
tl::expected<AddressSpan, int> reserve_in(const Region& region, std::size_t size) noexcept {
  int error = ENOMEM;
  const std::size_t step = std::max(size, gib);
  for (std::uintptr_t begin = region.begin; begin + size <= region.end; begin += step) {
    const AddressSpan wanted{{begin}, size};
    error = try_to_reserve(wanted);
    if (error == 0) return wanted;
    if (error == ENOMEM) break;  // a limit on the size, not a matter of the place
  }
  return tl::unexpected(error);
}

}  // namespace

Result<AddressWindow> AddressWindow::reserve(std::size_t size, std::size_t at_least) {
  if (size == 0 || size % block_size != 0 || at_least == 0 || at_least > size)
    return fail(ErrorCode::invalid_argument,
                "a window of %zu bytes (at least %zu): sizes are multiples of %zu", size, at_least,
                block_size);
  const bool sanitized = under_thread_sanitizer();
  const std::span<const Region> regions = sanitized
                                              ? std::span<const Region>(thread_sanitizer_regions)
                                              : std::span<const Region>(usual_regions);
  if (sanitized) size = std::min(size, thread_sanitizer_limit);
  int error = ENOMEM;
  for (; size >= std::min(at_least, thread_sanitizer_limit);
       size = round_down(size / 2, block_size)) {
    for (const Region& region : regions) {
      const auto got = reserve_in(region, size);
      if (got) {
        name(*got);
        return AddressWindow(*got);
      }
      error = got.error();
    }
    if (size == block_size) break;
  }
  if (error == EAGAIN)  // mmap(2): MAP_LOCKED, or as if
    return fail(ErrorCode::out_of_host_memory,
                "reserving a window of managed addresses: EAGAIN. The program locks all memory to "
                "come (mlockall with MCL_FUTURE), so the window counts against the limit on locked "
                "memory (ulimit -l): raise that, or lock what needs it with mlock");
  return call_failed(error == EEXIST ? ENOMEM : error,
                     "mmap to reserve a window of managed addresses");
}

AddressWindow& AddressWindow::operator=(AddressWindow&& other) noexcept {
  if (this != &other) {
    AddressWindow old(std::exchange(span_, std::exchange(other.span_, {})),
                      std::exchange(adopted_, other.adopted_));
  }
  return *this;
}

Result<AddressWindow> AddressWindow::reserve_at(AddressSpan span) {
  // ThreadSanitizer would ask for address 0 instead, and root gets it.
  if (span.size > end_of_addresses || span.begin.value > end_of_addresses - span.size)
    return fail(ErrorCode::out_of_host_memory, "no process has addresses [%#lx, +%zu)",
                span.begin.value, span.size);
  const int error = try_to_reserve(span);
  if (error == EEXIST)
    return fail(ErrorCode::busy, "something is mapped in [%#lx, +%zu)", span.begin.value,
                span.size);
  if (error != 0) return call_failed(error, "mmap to reserve", span);
  name(span);
  return AddressWindow(span);
}

Result<AddressWindow> AddressWindow::adopt(AddressSpan span) {
  if (span.size == 0 || span.size % block_size != 0 || span.begin.value % block_size != 0)
    return fail(ErrorCode::invalid_argument,
                "a window of %zu bytes at %#lx: both are multiples of %zu", span.size,
                span.begin.value, block_size);
  AddressWindow window(span, true);
  SLUICE_TRY(window.clear(span));
  return window;
}

AddressWindow::~AddressWindow() {
  if (span_.size == 0) return;
  void* const begin = pointer_for_call(span_.begin);
  if (adopted_)
    calls().mmap(begin, span_.size, PROT_READ | PROT_WRITE, reservation_flags | MAP_FIXED, -1, 0);
  else
    calls().munmap(begin, span_.size);
}

Result<void> AddressWindow::clear(AddressSpan part) const noexcept {
  void* const begin = pointer_for_call(part.begin);
  if (calls().mmap(begin, part.size, PROT_NONE, reservation_flags | MAP_FIXED, -1, 0) == MAP_FAILED)
    return call_failed(errno, "mmap to take down the view of", part);
  name(part);
  return {};
}

}  // namespace sluice::os
