// StreamScope: kernels and library calls that the program itself puts into a CUDA stream, over
// managed memory.
//
//   auto scope = space.on(stream).reads(x).writes(y);
//   saxpy<<<blocks, threads, 0, stream>>>(n, a, x.data(), y.data());
//   scope.done();
//
// Named memory moves to the device when it is named, and stays there for all work put into the
// stream until done(): kernels, cuBLAS and CUB calls, copies, launches of CUDA graphs. The rules
// are those of a Launch (launch.hpp): the work sees earlier host stores, and host accesses to
// memory that the scope may write wait until the stream has completed the work. A thread must not
// touch memory that its own open scope writes: it would wait for itself.
//
// Move-only; for one thread at a time; must not lie in managed memory, nor outlive its space's last
// handle.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "sluice/access.hpp"
#include "sluice/contiguous.hpp"
#include "sluice/export.hpp"
#include "sluice/fence.hpp"
#include "sluice/result.hpp"

struct CUstream_st;  // cudaStream_t and CUstream are pointers to it

namespace sluice {

class SLUICE_EXPORT StreamScope {
 public:
  StreamScope(StreamScope&& other) noexcept;
  StreamScope& operator=(StreamScope&& other) = delete;
  // Calls done() if it was not called.
  ~StreamScope();

  // Names memory that the work reads, or may write: any part of a shared, host or device range,
  // `size` in bytes. Each call moves all memory named so far to the device together, so scopes of
  // several threads cannot deadlock.
  StreamScope&& reads(const void* data, std::size_t size) &&;
  StreamScope&& writes(void* data, std::size_t size) &&;
  template <Contiguous T>
  StreamScope&& reads(const T& memory) && {
    return std::move(*this).reads(std::data(memory), size_in_bytes(memory));
  }
  template <typename T>
    requires Contiguous<std::remove_reference_t<T>>
  StreamScope&& writes(T&& memory) && {
    return std::move(*this).writes(std::data(memory), size_in_bytes(memory));
  }
  // The work follows pointers and may read every shared range, and with Access::write also write
  // it: Launch::every_shared_range().
  StreamScope&& every_shared_range(Access access = Access::write) &&;

  // Success if all memory is in place. After an error the work must not be started: an access to an
  // unmapped address ends the process's use of the GPU.
  //   errors: as Launch::submit()
  [[nodiscard]] const Result<void>& ready() const noexcept { return ready_; }

  // Declares that all work is in the stream. The fence completes with that work. If ready() is an
  // error, returns it.
  Result<Fence> done();

 private:
  friend struct Inside;
  struct Use {
    const void* data;
    std::size_t size;
    Access access;
  };

  StreamScope(std::shared_ptr<engine::Engine> engine, int device, CUstream_st* stream) noexcept;
  void acquire();
  void give_up() noexcept;

  std::shared_ptr<engine::Engine> engine_;
  int device_;
  CUstream_st* stream_;
  std::vector<Use> uses_;
  bool every_shared_range_ = false;
  Access every_shared_access_ = Access::write;
  Result<void> ready_;
  Fence fence_;
  bool open_ = false;
};

}  // namespace sluice
