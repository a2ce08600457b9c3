// Host: a kind of host program in the demo. All do the same with the memory; they differ in their
// treatment of signals, or let the kernel access the memory for them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sluice/sluice.hpp"

namespace sluice::tool {

struct Arrays {
  Buffer<int> input;
  Buffer<int> output;
};

class Host {
 public:
  virtual ~Host() = default;

  [[nodiscard]] virtual const char* title() const = 0;
  [[nodiscard]] virtual const char* meaning() const = 0;
  // The end of this host on managed memory of drivers, and its end here, in words.
  [[nodiscard]] virtual const char* elsewhere() const = 0;
  [[nodiscard]] virtual const char* here() const = 0;
  // The need of this host that the space does not meet; empty if it can run.
  [[nodiscard]] virtual std::string lacks(const SpaceStatus& status) const;

  [[nodiscard]] virtual std::string how_it_initialises() const;
  [[nodiscard]] virtual std::string how_it_reads() const = 0;
  // Both return a description of the problem, or an empty string.
  virtual std::string initialise(const Space& space, const Arrays& arrays, int device);
  virtual std::string read_back(const Arrays& arrays, int device) = 0;
};

// The five of them, in the order of the story.
[[nodiscard]] std::vector<std::unique_ptr<Host>> every_host();

}  // namespace sluice::tool
