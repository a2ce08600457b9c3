// The code that made an access for which a thread of this process is stalled: the instruction, or
// behind the C library's functions the place in the program that called them.
#pragma once

#include <cstdint>
#include <string>

namespace sluice::os {

// Looks up which code is the program's. Before the first access_code(), and again where libraries
// may have been loaded since. For ordinary threads: it takes the dynamic linker's lock.
void note_loaded_code() noexcept;

// 0: the kernel does not tell, or the thread runs meanwhile. Allocates nothing and takes no lock
// that is held while memory is touched. Costs some 5 us.
[[nodiscard]] std::uintptr_t access_code(std::int32_t thread) noexcept;

// "/path/of/file+0x1234 (function)"; a function only where the file exports it. For ordinary
// threads.
[[nodiscard]] std::string describe_code(std::uintptr_t code);

}  // namespace sluice::os
