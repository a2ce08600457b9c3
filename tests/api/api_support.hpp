// What the tests of the public API share: opening, taking values, matching refusals.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sluice/sluice.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::api_test {

// What a Result holds. A test cannot go on without it.
template <typename T>
T take(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "refused: %s\n", result.error().detail().data());
    std::abort();
  }
  return *std::move(result);
}

// A Result<void> that succeeded, in assertions.
[[nodiscard]] inline testing::AssertionResult ok(const Result<void>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << to_string(result.error().code()) << ": " << result.error().detail();
}

// A Result that was refused with this code, and whose detail names the value.
MATCHER_P2(refuses, code, named, "") {
  if (arg) {
    *result_listener << "it succeeded";
    return false;
  }
  *result_listener << to_string(arg.error().code()) << ": " << arg.error().detail();
  return arg.error().code() == code &&
         std::string(arg.error().detail()).find(named) != std::string::npos;
}

// An address as details name it.
[[nodiscard]] inline std::string hex(const void* address) {
  char text[32];
  std::snprintf(text, sizeof text, "%#lx", reinterpret_cast<unsigned long>(address));
  return text;
}

[[nodiscard]] inline SpaceOptions with_devices(int count) {
  SpaceOptions options;
  options.software.count = count;
  options.software.memory_size = std::size_t{32} << 20;
  return options;
}

// Two small devices, and a queue on the first.
class ApiTest : public testing::Test {
 protected:
  [[nodiscard]] Fence fill(const Queue& on, const Buffer<std::uint32_t>& buffer,
                           std::uint32_t value) const {
    return take(on.launch(take(on.kernel("fill")))
                    .writes(buffer)
                    .arguments(sluice_soft_fill{buffer.data(), value})
                    .items(buffer.size())
                    .submit());
  }
  // A kernel that takes at least that long and may write the buffer.
  [[nodiscard]] Fence occupy(const Queue& on, const Buffer<std::uint32_t>& buffer,
                             std::uint64_t milliseconds) const {
    return take(on.launch(take(on.kernel("sleep")))
                    .writes(buffer)
                    .arguments(sluice_soft_sleep{milliseconds * 1'000'000})
                    .submit());
  }
  [[nodiscard]] Buffer<std::uint32_t> words(std::size_t count, Kind kind = Kind::shared) const {
    return take(space.buffer<std::uint32_t>(count, kind));
  }

  Space space = take(Space::open(with_devices(2)));
  Queue queue = take(space.queue(0));
};

}  // namespace sluice::api_test
