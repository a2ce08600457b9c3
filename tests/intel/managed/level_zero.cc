// The interface of the guard's stand-in driver (tests/guard/stand_in/stand_in.h) on Level Zero's
// shared memory, so that the programs which tests/guard runs on the stand-in run on the real driver
// too, unchanged.
//
// Launches are real. The sums are not the kernel's: kernels do not execute in the driver's capture
// mode, so the host adds before the launch, and the kernel adds zero. The host's access afterwards
// is answered by the driver's page-fault handler either way.
#include "intel/programs/level_zero.hpp"
#include "guard/stand_in/stand_in.h"
#include "intel/managed/sizes.hpp"

namespace {

level_zero::World& world() {
  static auto* const only = new level_zero::World;  // as long as the process: drivers end with it
  return *only;
}
managed::Sizes sizes;

void launch(void* allocation) {
  world().add(static_cast<int*>(allocation), sizes.ints_of(allocation), 0);
}

}  // namespace

void* stand_in_allocate(size_t size) { return sizes.remember(world().shared(size), size); }
void stand_in_to_device(void* allocation) { launch(allocation); }
void stand_in_add(void* allocation, int value) {
  sizes.add_on_host(allocation, value);
  launch(allocation);
}
unsigned stand_in_migrations(void) { return 0; }  // the driver does not tell
