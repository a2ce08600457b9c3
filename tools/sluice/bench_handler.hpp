// HandlerRoundTrip: what the program's own SIGSEGV handler costs when somebody else's stands in front of it.
#pragma once

#include "bench_report.hpp"
#include "sluice/space.hpp"

namespace sluice::tool::bench {

// Make it before any other space is opened: the handler must be there before Sluice's, unless the guard is loaded.
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
