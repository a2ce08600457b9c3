// The origin of the pointers that a kernel follows, as far as its program's source shows.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::opencl {

enum class Pointers : std::uint8_t {
  from_arguments,  // nothing else can be one
  unknown,
  in_memory,  // the kernel is declared to read pointers that lie in the memory of its arguments
};

// Of one kernel function: the text of the functions and types that it names counts, and nothing
// else of the source. `options`: those that the program was built with.
[[nodiscard]] Pointers pointers_of_source(std::string_view source, std::string_view options,
                                          std::string_view kernel);

}  // namespace sluice::opencl
