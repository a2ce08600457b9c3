// SLUICE_NEXT(name): the function of libc of that name, behind the one of this library.
#pragma once

#include <dlfcn.h>

#define SLUICE_KFD_EXPORT extern "C" __attribute__((visibility("default")))

// NOLINTBEGIN(bugprone-macro-parentheses): a name takes none
#define SLUICE_NEXT(name)                                                                   \
  ([]() noexcept {                                                                          \
    static auto* const next = reinterpret_cast<decltype(&::name)>(dlsym(RTLD_NEXT, #name)); \
    return next;                                                                            \
  }())
// NOLINTEND(bugprone-macro-parentheses)
