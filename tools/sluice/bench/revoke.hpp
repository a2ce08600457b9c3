// Revocations: the cost of revoking the host's rights to a block, as part of `sluice bench faults`.
// Measured at the fault source itself, without an engine around it.
#pragma once

#include <memory>
#include <vector>

#include "bench/bench.hpp"

namespace sluice::tool::bench {

class Revocations {
 public:
  explicit Revocations(Grade best);
  Revocations(Revocations&&) noexcept;
  ~Revocations();

  void round();
  void forget();
  void finish(std::vector<Case>& cases) const;

 private:
  struct Stand;
  std::unique_ptr<Stand> stand_;
  std::vector<double> values_;
  std::vector<double> baselines_;
};

}  // namespace sluice::tool::bench
