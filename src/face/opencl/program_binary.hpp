// The binaries of programs as the layer hands them out: with the program's texts behind the
// driver's bytes, so that a program made of such a binary can be analysed like the first one.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "program.hpp"

namespace sluice::opencl {

// Bytes to put behind the driver's; none if one of the texts is not known.
[[nodiscard]] std::vector<std::byte> end_of_binary(const std::vector<ProgramPart>& parts);

struct ReadBinary {
  std::size_t driver_size = 0;
  std::vector<ProgramPart> parts;
};
// None: the binary has no such end, or not a whole one.
[[nodiscard]] std::optional<ReadBinary> read_binary(std::span<const std::byte> binary);

}  // namespace sluice::opencl
