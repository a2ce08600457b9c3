// Queue: launches of one device in order. Launch: one launch, built up and submitted.
//
//   auto fence = queue.launch(saxpy).reads(x).writes(y).arguments(y.data(), x.data(), 2.0F)
//                     .items(n).submit();
//
// A launch names the managed memory that its kernel touches. The kernel must not touch any other,
// unless the device has recoverable faults. The kernel sees host stores made before submit(); the
// host sees the kernel's stores after its fence. A host access to bytes that a running kernel may
// write waits for that kernel.
//
// A queue is move-only and keeps its space open; its members may be called from several threads at
// once. A Launch belongs to one thread, must not outlive its queue, and must not itself lie in
// managed memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "sluice/access.hpp"
#include "sluice/arguments.hpp"
#include "sluice/contiguous.hpp"
#include "sluice/export.hpp"
#include "sluice/fence.hpp"
#include "sluice/kernel.hpp"
#include "sluice/result.hpp"
#include "sluice/source_place.hpp"

namespace sluice {

class Queue;

class SLUICE_EXPORT Launch {
 public:
  Launch(const Launch&) = delete;
  Launch& operator=(const Launch&) = delete;
  ~Launch();

  // Names memory that the kernel reads, or may write (bytes that it does not write keep their
  // value): any part of a shared, host or device range, `size` in bytes. Whole pages are moved.
  Launch& reads(const void* data, std::size_t size);
  Launch& writes(void* data, std::size_t size);
  template <Contiguous T>
  Launch& reads(const T& memory) {
    return reads(std::data(memory), size_in_bytes(memory));
  }
  template <typename T>
    requires Contiguous<std::remove_reference_t<T>>
  Launch& writes(T&& memory) {
    return writes(std::data(memory), size_in_bytes(memory));
  }
  // The kernel follows pointers and may read every shared range, and with Access::write also write
  // it: the meaning of CL_KERNEL_EXEC_INFO_INDIRECT_SHARED_ACCESS_INTEL
  // (cl_intel_unified_shared_memory, clSetKernelExecInfo). With Access::read ranges are copied and
  // stay valid where they are, and the host may read them meanwhile; memory that the kernel writes
  // is named besides. The last call counts.
  Launch& every_shared_range(Access access = Access::write) noexcept;

  // The kernel's arguments. They are copied at this call, so they may lie in managed memory and may
  // change afterwards. At most DeviceInfo::argument_limit bytes. The last call counts.
  //
  // As the structure that the kernel expects, or its only argument.
  template <KernelArgument T>
  Launch& arguments(const T& structure) {
    return copy_arguments(&structure, sizeof structure);
  }
  // One by one, with the types that the kernel expects: 2.0 is a double, 2.0F a float. They are
  // laid out as the members of such a structure.
  template <KernelArgument... Values>
    requires(sizeof...(Values) > 1 && !is_pointer_and_size<Values...>)
  Launch& arguments(const Values&... values) {
    const ArgumentList<Values...> list(values...);
    return copy_arguments(list.bytes().data(), list.bytes().size());
  }
  // A structure's bytes.
  Launch& arguments(std::span<const std::byte> bytes) {
    return copy_arguments(bytes.data(), bytes.size());
  }
  // A pointer and a size may mean a structure's bytes or two arguments. Write
  // arguments(structure), arguments(std::span(bytes, size)), or a structure of both.
  template <typename Pointer, typename Size>
    requires is_pointer_and_size<Pointer, Size>
  Launch& arguments(const Pointer& pointer, const Size& size) = delete;

  // The number of work items, 1 by default. The kernel defines the meaning of an item.
  Launch& items(std::uint64_t count) noexcept;
  // Runs after the fence, of any device. May be called several times.
  Launch& after(const Fence& fence);

  // Moves the bytes that have to move, and submits. Waits for the copies that the launch needs and
  // for the device memory they take; for kernels of other devices that use the same bytes, unless
  // both only read; and, when pages get newer bytes, for kernels of this device that still read
  // those pages. A failed submit has no effect that a program can observe; the Launch may be
  // changed and submitted again.
  //   invalid_argument      a size that overflows or is zero, more argument bytes than the device
  //                         carries, another device's kernel, a kernel or fence of another space, a
  //                         queue that was moved from
  //   unknown_kernel        a kernel that was not found since its device was started, or never
  //   unknown_address       a named part is not inside one live range, or belongs to another device
  //   out_of_device_memory  the budget cannot hold the named memory (with Overflow::refuse), or its
  //                         parts leased on another device together with everything leased on this
  //                         one: both have to be in this device's memory
  //   busy                  a lease holds a named part elsewhere
  //   data_lost             named bytes existed only on a device that was lost
  //   device_lost           the queue's device is lost
  // Strict mode prints `site` as the place of the launch; the default is the caller's line.
  [[nodiscard]] Result<Fence> submit(SourcePlace site = SourcePlace::current()) {
    return submit_from(nullptr, &site);
  }

 private:
  friend class Queue;
  friend struct Inside;

  struct Use {
    const void* data;
    std::size_t size;
    Access access;
  };
  // Most launches fit these, and then building one allocates nothing.
  static constexpr std::size_t uses_inline = 8;
  static constexpr std::size_t arguments_inline = 128;

  Launch(const Queue& queue, Kernel kernel) noexcept;
  Launch& use(const void* data, std::size_t size, Access access);
  Launch& copy_arguments(const void* data, std::size_t size);
  // `caller`: an address in the code that submits, where there is no `site`.
  [[nodiscard]] Result<Fence> submit_from(const void* caller, const SourcePlace* site);

  const Queue* queue_;
  Kernel kernel_;
  std::uint64_t items_ = 1;
  bool every_shared_range_ = false;
  Access every_shared_access_ = Access::write;
  bool arguments_missing_ = false;
  std::size_t use_count_ = 0;
  std::size_t argument_size_ = 0;
  std::array<Use, uses_inline> uses_;
  std::array<std::byte, arguments_inline> arguments_;
  std::vector<Use> more_uses_;             // all of them, once there are more than uses_inline
  std::vector<std::byte> more_arguments_;  // all of them, if larger than arguments_inline
  std::vector<Fence> fences_;
};

class SLUICE_EXPORT Queue {
 public:
  Queue(Queue&& other) noexcept;
  Queue& operator=(Queue&& other) noexcept;
  // Submitted launches still run.
  ~Queue();

  [[nodiscard]] int device() const noexcept { return device_; }

  // A kernel of this queue's device: a built-in one, or one of a shared object given by its path.
  //   unknown_kernel    no such module or kernel; the detail names it
  [[nodiscard]] Result<Kernel> kernel(std::string_view name) const;
  [[nodiscard]] Result<Kernel> kernel(std::string_view module, std::string_view name) const;

  // Starts to build a launch. Errors are reported by Launch::submit().
  [[nodiscard]] Launch launch(Kernel kernel) const noexcept { return Launch(*this, kernel); }

 private:
  friend class Launch;
  friend struct Inside;

  Queue(std::shared_ptr<engine::Engine> engine, int device, std::uint16_t number,
        std::size_t argument_limit) noexcept;

  std::shared_ptr<engine::Engine> engine_;
  int device_;
  std::uint16_t number_;
  std::size_t argument_limit_;
};

}  // namespace sluice
