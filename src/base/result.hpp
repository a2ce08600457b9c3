// Result for use inside the library, and the macros that pass an error up.
#pragma once

#include "sluice/result.hpp"  // IWYU pragma: export

// Evaluates an expression of type Result<...> and returns its error from the enclosing function.
#define SLUICE_TRY(expression)                                                    \
  do {                                                                            \
    if (auto sluice_result = (expression); !sluice_result) [[unlikely]] {         \
      return ::tl::unexpected<::sluice::Error>(std::move(sluice_result).error()); \
    }                                                                             \
  } while (false)

// Declares `variable` from the value of a Result, or returns its error from the enclosing function.
#define SLUICE_ASSIGN(variable, expression)                                         \
  auto variable##_result = (expression);                                            \
  if (!variable##_result) [[unlikely]]                                              \
    return ::tl::unexpected<::sluice::Error>(std::move(variable##_result).error()); \
  auto& variable = *variable##_result  // NOLINT(bugprone-macro-parentheses)
