// Calls that a program of the house cannot do without, and the exception that ends its work when
// one fails. Shared by the tool and by what it runs.
#pragma once

#include <stdexcept>
#include <type_traits>
#include <utility>

#include "sluice/result.hpp"

namespace sluice::program {

// The work cannot be done here. main prints the text.
struct CannotRun : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void cannot_run(const char* what, const Error& error);

// Returns the value, or throws CannotRun.
template <typename T>
T need(const char* what, Result<T> result) {
  if (!result) cannot_run(what, result.error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace sluice::program
