// Program: the texts and the SPIR-V that a program's kernels are made of.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "device/opencl/driver.hpp"
#include "kernel_source.hpp"

namespace sluice::opencl {

// The sources of one program. Neither text nor SPIR-V: a binary, or the driver does not report
// them.
struct ProgramPart {
  std::string source;
  std::string options;  // those that the text was compiled with, for each of the devices
  std::vector<std::byte> il;
};

class RebasedProgram;

// A program about which the driver alone would not report enough: of SPIR-V, or linked.
struct Program {
  std::vector<ProgramPart> parts;
  bool is_linked = false;
  std::atomic<std::uint32_t> references{1};  // the program's own
  RankedMutex mutex{LockRank::objects, "opencl program"};
  // Once they were needed (rebased_program.hpp).
  std::shared_ptr<const RebasedProgram> rebased SLUICE_GUARDED_BY(mutex);
  std::optional<bool> shares_with_followers SLUICE_GUARDED_BY(mutex);
};

// Asks the driver where nothing was kept. `devices`: those of the program's context; it may have
// been built for each of them with options of its own.
[[nodiscard]] std::vector<ProgramPart> parts_of(cl_program program,
                                                const std::vector<cl_device_id>& devices);
// All of them, if there is nothing but SPIR-V; none otherwise.
[[nodiscard]] std::vector<std::span<const std::byte>> modules_of(
    const std::vector<ProgramPart>& parts);
[[nodiscard]] cl_program program_of(cl_kernel kernel);
// That a program was built or linked with.
[[nodiscard]] std::string options_of(cl_program program, cl_device_id device);
// Of a kernel of a program that is made of these.
[[nodiscard]] Pointers pointers_of(const std::vector<ProgramPart>& parts, std::string_view kernel);

}  // namespace sluice::opencl
