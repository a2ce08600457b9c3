// The native half of Managed.java.
#include "../stand_in/stand_in.h"

extern "C" __attribute__((visibility("default"))) int Java_Managed_roundTrip(void*, void*) {
  static int* const data = static_cast<int*>(stand_in_allocate(4096));
  data[3] = 1;
  stand_in_add(data, 1);
  return data[3] == 2 ? 1 : 0;
}
