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

// What one program was made from. Neither text nor SPIR-V: a binary, or nothing that the driver
// tells.
struct ProgramPart {
  std::string source;
  std::string options;  // those that the text was compiled with
  std::vector<std::byte> il;
};

// A program that the driver alone would not tell enough of: of SPIR-V, or linked.
struct Program {
  std::vector<ProgramPart> parts;
  std::atomic<std::uint32_t> references{1};  // the program's own
};

// Asks the driver where nothing was kept. `device`: one that the program was built for.
[[nodiscard]] std::vector<ProgramPart> parts_of(cl_program program, cl_device_id device);
// Of a kernel of a program that is made of these.
[[nodiscard]] Pointers pointers_of(const std::vector<ProgramPart>& parts, std::string_view kernel);

}  // namespace sluice::opencl
