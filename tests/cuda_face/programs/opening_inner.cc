// The library that only opening_outer.cc's RUNPATH leads to.
extern "C" const char* opening_inner() { return "found by the caller's RUNPATH"; }
