// Whether a kernel can follow pointers that it finds in memory, judged by its program's text.
#pragma once

#include <string_view>

namespace sluice::opencl {

// True: the text has nothing by which a pointer could come from anywhere but an argument: no cast to a pointer, no pointer as a
// member or behind a pointer, no union, and no text from elsewhere. False: it may. Pure.
[[nodiscard]] bool pointers_come_from_arguments_only(std::string_view source);

}  // namespace sluice::opencl
