// HostBudget: limits the host memory that ranges take together (SpaceOptions::host_budget).
// Lock-free; any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <utility>

#include "base/result.hpp"

namespace sluice::engine {

class HostBudget {
 public:
  // `budget`: bytes; 0: no limit.
  explicit HostBudget(std::size_t budget) noexcept
      : budget_(budget == 0 ? ~std::size_t{0} : budget) {}

  // Is called where a request does not fit; true if memory has been given back since. Set it before
  // the first request.
  void use(std::function<bool()> reclaim) { reclaim_ = std::move(reclaim); }

  // out_of_host_memory; nothing was taken then.
  [[nodiscard]] Result<void> take(std::size_t size) {
    std::size_t taken = taken_;
    do {
      while (size > budget_ || taken > budget_ - size) {
        if (size > budget_ || !reclaim_ || !reclaim_())
          return fail(ErrorCode::out_of_host_memory,
                      "the host budget has %zu of %zu bytes in use; %zu more do not fit", taken,
                      budget_, size);
        taken = taken_;
      }
    } while (!taken_.compare_exchange_weak(taken, taken + size));
    return {};
  }
  void give_back(std::size_t size) noexcept { taken_ -= size; }

 private:
  const std::size_t budget_;
  std::function<bool()> reclaim_;
  std::atomic<std::size_t> taken_{0};
};

}  // namespace sluice::engine
