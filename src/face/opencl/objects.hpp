// Objects: the layer's records of a program's contexts, queues, programs and kernels.
//
// A handle that is not in a table was not made through the layer, or is gone: its calls answer
// CL_INVALID_*.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ranked_mutex.hpp"
#include "context.hpp"
#include "kernel_arguments.hpp"
#include "kernel_source.hpp"
#include "program.hpp"

namespace sluice::opencl {

// Handles and their records. Thread-safe; a record that was found stays alive while it is held.
template <typename Handle, typename Value>
class Table {
 public:
  void insert(Handle handle, std::shared_ptr<Value> value) {
    // The record that the driver's new object replaces is destroyed outside the lock.
    MutexLock lock(mutex_);
    values_[handle].swap(value);
  }
  [[nodiscard]] std::shared_ptr<Value> find(Handle handle) const {
    MutexLock lock(mutex_);
    const auto found = values_.find(handle);
    return found == values_.end() ? nullptr : found->second;
  }
  template <typename Wanted>
  [[nodiscard]] std::vector<Handle> handles(Wanted&& wanted) const {
    MutexLock lock(mutex_);
    std::vector<Handle> found;
    for (const auto& [handle, value] : values_)
      if (wanted(*value)) found.push_back(handle);
    return found;
  }
  // The value, which is destroyed outside the table's lock.
  std::shared_ptr<Value> erase(Handle handle) {
    MutexLock lock(mutex_);
    const auto found = values_.find(handle);
    if (found == values_.end()) return nullptr;
    std::shared_ptr<Value> value = std::move(found->second);
    values_.erase(found);
    return value;
  }

 private:
  mutable RankedMutex mutex_{LockRank::objects, "opencl objects"};
  std::unordered_map<Handle, std::shared_ptr<Value>> values_ SLUICE_GUARDED_BY(mutex_);
};

struct Queue {
  std::shared_ptr<Context> context;
  cl_device_id device = nullptr;
  device::ExternalQueue timeline;  // in every arena
  std::atomic<std::uint32_t> references{1};
};

// A pointer that was set as an argument.
struct PointerArgument {
  const void* pointer = nullptr;
  Access access = Access::write;
  cl_mem part = nullptr;     // the sub-buffer that stands for it, owned
  std::size_t size = 0;      // bytes that it names; 0: its whole allocation
  bool is_unplaced = false;  // no buffer can begin there, so only a rebased kernel takes it
};

// Memory that a kernel may use besides its arguments (clSetKernelExecInfo).
struct ExecInfo {
  std::vector<const void*> listed;  // USM and SVM pointers
  TypeMask indirect = 0;
  bool reaches_all = false;  // CL_KERNEL_EXEC_INFO_SVM_INDIRECT_ACCESS_KHR
};

struct Kernel {
  explicit Kernel(std::shared_ptr<Context> of) : context(std::move(of)) {}
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  const std::shared_ptr<Context> context;
  std::shared_ptr<Program> program;  // null: the driver reports all that is needed
  std::atomic<std::uint32_t> references{1};
  RankedMutex mutex{LockRank::objects, "opencl kernel"};
  std::unordered_map<cl_uint, PointerArgument> pointers SLUICE_GUARDED_BY(mutex);
  ExecInfo exec_info SLUICE_GUARDED_BY(mutex);
  KernelArguments arguments SLUICE_GUARDED_BY(mutex);  // over SVM, and where kernels are rebased
  std::optional<Pointers> follows SLUICE_GUARDED_BY(mutex);  // once its program was looked at
};

// Never destroyed: threads may outlive main().
struct Objects {
  Table<cl_context, Context> contexts;
  Table<cl_command_queue, Queue> queues;
  Table<cl_program, Program> programs;
  Table<cl_kernel, Kernel> kernels;
};
[[nodiscard]] Objects& objects() noexcept;

}  // namespace sluice::opencl
