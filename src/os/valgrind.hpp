// Tells that the program runs under valgrind, which emulates some of the calls of Linux only.
#pragma once

#include <cstring>

#include "os/environment.hpp"

namespace sluice::os {

// valgrind preloads itself into the programs that it runs.
[[nodiscard]] inline bool under_valgrind() noexcept {
  static const bool is = [] {
    const char* const preloaded = environment("LD_PRELOAD");
    return preloaded != nullptr && std::strstr(preloaded, "vgpreload_core") != nullptr;
  }();
  return is;
}

}  // namespace sluice::os
