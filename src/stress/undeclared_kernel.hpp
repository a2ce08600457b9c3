// A kernel whose launch names no memory: it finds what is mapped on its device, and nothing else.
#pragma once

#include <cstddef>
#include <optional>

#include "sluice/sluice.hpp"

namespace sluice::stress {

// Runs a built-in kernel and waits for it. True if it completed; nothing if it could not be run.
template <typename Arguments>
[[nodiscard]] std::optional<bool> run_undeclared(const Space& space, int device, const char* name,
                                                 const Arguments& arguments,
                                                 std::size_t items = 1) {
  const auto queue = space.queue(device);
  if (!queue) return std::nullopt;
  const auto kernel = queue->kernel(name);
  if (!kernel) return std::nullopt;
  const auto fence = queue->launch(*kernel).arguments(arguments).items(items).submit();
  if (!fence) return std::nullopt;
  return fence->wait().has_value();
}

}  // namespace sluice::stress
