// Entries: the functions of the layer as a program calls them.
//
// A function gets into the table, or to the program by its name, only through an Entry, which keeps
// the calling thread from being cancelled during the call (os/uncancelled.hpp): an exception of
// pthread_cancel would have to pass functions that must not throw, and would leave a command
// admitted that nobody enqueues. A request stays pending until the call has returned. The driver's
// own functions that the layer does not replace are as they were.
#pragma once

#include <string_view>

#include "device/opencl/driver.hpp"
#include "os/uncancelled.hpp"

namespace sluice::opencl {

template <auto Function>
struct Entry;
template <typename Answer, typename... Parameters, Answer (*Function)(Parameters...)>
struct Entry<Function> {
  static Answer CL_API_CALL call(Parameters... parameters) {
    const os::Uncancelled whole_call;
    return Function(parameters...);
  }
};

// The driver's table with functions of the layer in it.
class Entries {
 public:
  explicit Entries(const cl_icd_dispatch& driver) noexcept : table_(driver) {}

  template <auto Function, typename Pointer>
  void set(Pointer cl_icd_dispatch::* name) noexcept {
    table_.*name = Entry<Function>::call;
  }
  // Where the driver has no such function the program gets none.
  template <auto Function, typename Pointer>
  void set_if_there(Pointer cl_icd_dispatch::* name) noexcept {
    if (table_.*name != nullptr) set<Function>(name);
  }
  [[nodiscard]] const cl_icd_dispatch& table() const noexcept { return table_; }

 private:
  cl_icd_dispatch table_;
};

// A function that programs ask for by its name.
struct NamedEntry {
  std::string_view name;
  void* address;
};
template <auto Function>
[[nodiscard]] NamedEntry named_entry(std::string_view name) noexcept {
  return {name, reinterpret_cast<void*>(Entry<Function>::call)};
}

}  // namespace sluice::opencl
