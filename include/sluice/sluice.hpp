// All of Sluice's C++ API. A space gives ranges and queues; a queue gives launches; a launch gives
// a fence.
#pragma once

#include "sluice/memory_resource.hpp"  // IWYU pragma: export
#include "sluice/space.hpp"            // IWYU pragma: export
#include "sluice/version.h"            // IWYU pragma: export
