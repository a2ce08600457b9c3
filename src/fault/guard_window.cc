// Finds the guard by the names of its functions. What it does not do: load the guard; it must be the first library of the process.
#include "fault/guard_window.hpp"

#include <dlfcn.h>

#include "sluice/guard.h"

namespace sluice::fault {
namespace {

template <typename Function>
Function* function_of_guard(const char* name) noexcept {
  return reinterpret_cast<Function*>(::dlsym(RTLD_DEFAULT, name));
}

}  // namespace

GuardWindow::GuardWindow(AddressSpan window) noexcept {
  auto* const add = function_of_guard<decltype(sluice_guard_add_window)>("sluice_guard_add_window");
  if (add != nullptr && add(window.begin.value, window.size) == 0) begin_ = window.begin.value;
}

GuardWindow::~GuardWindow() {
  if (begin_ == 0) return;
  auto* const remove =
      function_of_guard<decltype(sluice_guard_remove_window)>("sluice_guard_remove_window");
  if (remove != nullptr) remove(begin_);
}

}  // namespace sluice::fault
