// Screen: `sluice top` on a terminal.
#pragma once

#include <chrono>

#include "top/space_finder.hpp"

namespace sluice::tool::top {

// Shows spaces until the user types q, or a signal ends the program.
void show_on_screen(SpaceFinder& finder, std::chrono::milliseconds delay);

}  // namespace sluice::tool::top
