// HandlerRoundTrip: the cost of the program's own SIGSEGV handler when another is in front of it,
// and of SIGSEGV and page protection by themselves.
#pragma once

#include "bench/bench.hpp"
#include "sluice/space.hpp"

namespace sluice::tool::bench {

// The cost of page protection without Sluice, past all handlers: one SIGSEGV and the return from
// it, in microseconds; and stores to pages without rights, each made accessible by a handler that
// does nothing but one mprotect. The pages are accessible afterwards.
[[nodiscard]] double time_signal_alone();
[[nodiscard]] std::vector<double> time_each_store_by_protection(std::byte* data, std::size_t size);

// Make it before any other space is opened: the handler must be there before Sluice's, unless the
// guard is loaded.
class HandlerRoundTrip {
 public:
  explicit HandlerRoundTrip(Grade best);
  void round();
  void forget();
  void finish(std::vector<Case>& cases) const;

 private:
  Space space_;
  std::vector<double> value_;
  std::vector<double> baseline_;
};

}  // namespace sluice::tool::bench
