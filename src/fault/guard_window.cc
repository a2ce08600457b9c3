// Finds the guard by the names of its functions. What it does not do: load the guard; it must be
// the first library of the process.
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
  if (add == nullptr) return;
  is_refused_ = add(window.begin.value, window.size) != 0;
  if (!is_refused_) begin_ = window.begin.value;
}

GuardWindow::~GuardWindow() {
  if (begin_ == 0) return;
  auto* const remove =
      function_of_guard<decltype(sluice_guard_remove_window)>("sluice_guard_remove_window");
  if (remove != nullptr) remove(begin_);
}

std::string_view GuardWindow::refusal() const noexcept {
  if (!is_refused_) return {};
  return "; the guard has no place for this space (128 windows in a process), so libc's calls get "
         "EFAULT for its pages as they do without the guard";
}

}  // namespace sluice::fault
