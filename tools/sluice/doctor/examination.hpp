// Examination: the findings and judgements of `sluice doctor`. They are separate from reporting, so
// that the text and the JSON cannot disagree.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "device/cuda/cuda_device.hpp"
#include "os/machine.hpp"
#include "sluice/device.hpp"
#include "sluice/status.hpp"

namespace sluice::tool {

enum class Severity : std::uint8_t {
  unusable,  // managed memory does not work at all
  limited,   // something that programs may rely on elsewhere does not work here
  slower,    // everything works, and could be faster
};
[[nodiscard]] const char* name_of(Severity severity) noexcept;

struct Problem {
  Severity severity;
  std::string what;
  std::string meaning;  // for a program
  std::string remedy;   // a command to type
};

struct Examination {
  os::Machine machine;
  std::optional<SpaceStatus> space;  // of a space that was opened to see; none if that failed
  std::vector<DeviceInfo> devices;
  std::vector<device::cuda::Gpu> gpus;
  std::string no_gpus;            // why there are none; everything else works without them
  std::vector<Problem> problems;  // the worst first

  [[nodiscard]] bool usable() const;
};

[[nodiscard]] Examination examine();

// The names of UFFD_FEATURE_* bits, as the kernel's header has them without the prefix; "BIT_n" for
// those it had not yet.
[[nodiscard]] std::vector<std::string> userfaultfd_features(std::uint64_t bits);

}  // namespace sluice::tool
