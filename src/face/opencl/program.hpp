// Program: the texts and the SPIR-V that a program's kernels are made of.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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

// A program about which the driver alone would not report enough: of SPIR-V, or linked.
struct Program {
  std::vector<ProgramPart> parts;
  std::atomic<std::uint32_t> references{1};  // the program's own
};

// Asks the driver where nothing was kept. `devices`: those of the program's context; it may have
// been built for each of them with options of its own.
[[nodiscard]] std::vector<ProgramPart> parts_of(cl_program program,
                                                const std::vector<cl_device_id>& devices);
// Of a kernel of a program that is made of these.
[[nodiscard]] Pointers pointers_of(const std::vector<ProgramPart>& parts, std::string_view kernel);

}  // namespace sluice::opencl
