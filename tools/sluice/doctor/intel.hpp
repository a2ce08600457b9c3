// Intel's GPU driver on this machine: whether a program's SIGSEGV handler would get the faults of
// the driver's shared memory here.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report.hpp"

namespace sluice::tool {

struct IntelLibrary {
  std::string interface;  // "OpenCL" or "Level Zero"
  std::string path;
  std::string version;  // "unknown" if the file does not say
};

struct IntelGpu {
  std::string address;  // on the PCI bus
  std::string id;       // of the device, as lspci shows it
  bool is_discrete = false;
};

struct IntelDriver {
  std::vector<IntelLibrary> libraries;
  std::vector<IntelGpu> gpus;
  bool captures = false;  // the variables of its capture mode are set

  [[nodiscard]] bool bug_strikes() const;
  [[nodiscard]] std::string verdict() const;  // with its reason
  [[nodiscard]] std::string remedy() const;   // a command to type
};

[[nodiscard]] IntelDriver look_at_intel();
[[nodiscard]] Json json_of(const IntelDriver& driver);
// Lines for people: each has a name and a text. None where there is no driver of Intel's.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> lines_of(const IntelDriver& driver);

}  // namespace sluice::tool
