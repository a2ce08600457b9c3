// Admission: moves managed bytes to where a command of a queue needs them, until the command is
// enqueued.
//
// Every command with managed memory goes through these steps: admit the bytes that it uses (the
// engine takes the host's rights and copies stale bytes), enqueue it with no lock held, and pass
// its event to the engine. If an admitted command could not be enqueued, the destructor reports
// that.
#pragma once

#include <span>
#include <vector>

#include "engine/requests.hpp"
#include "layer.hpp"
#include "objects.hpp"

namespace sluice::opencl {

class Admission {
 public:
  explicit Admission(const Queue& queue) noexcept : queue_(queue) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission();

  // Names bytes of an allocation. The driver's own allocations need nothing.
  void use(const Allocation& allocation, AddressSpan span, Access access);
  void use(const Allocation& allocation, Access access) {
    use(allocation, allocation.span(), access);
  }
  // Every shared range of the context: indirect access.
  void use_everything() noexcept { everything_ = true; }
  [[nodiscard]] bool is_empty() const noexcept { return uses_.empty() && !everything_; }

  // Waits for hints that the command waits for, then for the engine. CL_SUCCESS, or the reason why
  // the bytes cannot be moved.
  [[nodiscard]] cl_int admit(cl_uint count, const cl_event* wait_list);
  // The command is enqueued. Keeps references of its own to the event, and flushes the queue: a
  // host access may wait for it.
  void enqueued(cl_command_queue queue, cl_event event);

 private:
  struct NamedUse {
    Arena* arena;
    engine::Use use;
  };
  struct Entry {
    Arena* arena;
    device::Fence fence;
  };

  [[nodiscard]] cl_int enter(Arena& arena, std::span<const engine::Use> uses);

  const Queue& queue_;
  std::vector<NamedUse> uses_;
  bool everything_ = false;
  std::vector<Entry> entered_;
};

// Enqueues a command by `call(event*)`, with its admission around it; `event` as the program gave
// it.
template <typename Call>
[[nodiscard]] cl_int enqueue_admitted(Admission& admission, cl_command_queue queue, cl_uint count,
                                      const cl_event* wait_list, cl_event* event, Call&& call) {
  const cl_int admitted = admission.admit(count, wait_list);
  if (admitted != CL_SUCCESS) return admitted;
  cl_event own = nullptr;
  const cl_int status = call(&own);
  if (status != CL_SUCCESS) return status;
  admission.enqueued(queue, own);
  if (event != nullptr)
    *event = own;
  else
    driver().clReleaseEvent(own);
  return CL_SUCCESS;
}

// An error of the engine as OpenCL's.
[[nodiscard]] cl_int status_of(const Error& error) noexcept;

}  // namespace sluice::opencl
