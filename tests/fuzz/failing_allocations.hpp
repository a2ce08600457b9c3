// Makes one allocation of the process fail: operator new throws std::bad_alloc, malloc and its like
// return null.
//
// Linked into a program, it replaces operator new, and where no sanitizer does the same, malloc: so
// what libc allocates for the library fails as well. What it does not do: make mmap fail, or
// allocations of the device processes.
#pragma once

namespace sluice::fuzz {

// The nth allocation from now on fails, on whatever thread it is made. 0: none does.
void fail_allocation(long nth) noexcept;
// Whether one has failed since then.
[[nodiscard]] bool allocation_failed() noexcept;
// Prints where it was made, as addresses that addr2line knows, to stderr.
void show_failed_allocation() noexcept;
// To be called once, before the first: backtrace(3) loads a library at its first use.
void prepare_failing_allocations() noexcept;

}  // namespace sluice::fuzz
