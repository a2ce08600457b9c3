// need(): the examples' treatment of errors. It returns the value of a Result, or ends the program
// with the reason.
//
// A library would pass the error up instead: a Result converts to the error of another Result.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "sluice/result.hpp"

[[noreturn]] inline void give_up(const sluice::Error& error) {
  std::fprintf(stderr, "%s: %s\n", sluice::to_string(error.code()).data(), error.detail().data());
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): the end
}

template <typename T>
T need(sluice::Result<T> result) {
  if (!result) give_up(result.error());
  return *std::move(result);
}

inline void need(const sluice::Result<void>& result) {
  if (!result) give_up(result.error());
}

// The same for conditions that the example itself expects.
inline void need(bool as_expected, const char* what) {
  if (as_expected) return;
  std::fprintf(stderr, "not as expected: %s\n", what);
  std::exit(1);  // NOLINT(concurrency-mt-unsafe): the end
}
