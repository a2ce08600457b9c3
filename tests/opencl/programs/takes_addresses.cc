// Calls a library that takes the addresses of OpenCL's functions (taken_addresses.cc), which lie in
// front of it when preloaded.
#include <cstdio>

extern "C" int use_taken_addresses();

int main() {
  const int step = use_taken_addresses();
  std::printf("addresses: %s at step %d\n", step == 0 ? "PASS" : "FAIL", step);
  return step == 0 ? 0 : 1;
}
