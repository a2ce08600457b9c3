// The results of a stress run. See stress/findings.hpp.

#include "stress/findings.hpp"
#include "program/text.hpp"

#include <fmt/format.h>

namespace sluice::stress {

void Findings::tell(std::uint64_t& count, const std::string& what) {
  const std::lock_guard lock(mutex_);
  if (++count > told) return;
  words_.push_back(what);
  program::complain("sluice stress: {}\n", what);
}

void Findings::wrong_byte(const Space& space, const Slice& slice, std::size_t index, std::byte got,
                          const std::string& context) {
  const std::byte* address = slice.data() + index;
  // Loaded once more: a byte that is right by now was shown too early or too late, one that stays
  // wrong was lost.
  const std::byte again = *static_cast<const volatile std::byte*>(address);
  tell(counts_.wrong_bytes,
       fmt::format("wrong byte in the range at {} (offset {:#x}): expected {:#04x}, got {:#04x}, "
                   "now {:#04x}; {}; {}",
                   fmt::ptr(slice.home->range.data()), slice.offset + index,
                   static_cast<int>(slice.shadow()[index]), static_cast<int>(got),
                   static_cast<int>(again), context, space.explain(address)));
}

void Findings::more_wrong_bytes(std::size_t count) {
  const std::lock_guard lock(mutex_);
  counts_.wrong_bytes += count;
}

void Findings::violation(const std::string& what) {
  tell(counts_.violations, "broken promise: " + what);
}
void Findings::unexpected_error(const std::string& what) {
  tell(counts_.unexpected_errors, "unexpected error: " + what);
}
void Findings::hang(const std::string& what) { tell(counts_.hangs, "hang: " + what); }
void Findings::leak(const std::string& what) { tell(counts_.leaks, "leak: " + what); }

Findings::Counts Findings::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

std::vector<std::string> Findings::in_words() const {
  const std::lock_guard lock(mutex_);
  return words_;
}

}  // namespace sluice::stress
