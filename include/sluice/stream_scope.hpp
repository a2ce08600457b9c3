// StreamScope: kernels and library calls that the program itself puts into a CUDA stream, over
// managed memory.
//
//   auto scope = space.on(stream).reads(x).writes(y).begin().value();
//   saxpy<<<blocks, threads, 0, stream>>>(n, a, x.data(), y.data());
//   scope.done().value();
//
// begin() moves all named memory to the device, together and once, and it stays there for all work
// put into the stream until done(): kernels, cuBLAS and CUB calls, copies, launches of CUDA graphs.
// The rules are those of a Launch (launch.hpp): the work sees earlier host stores, and host
// accesses to memory that the scope may write wait until the stream has completed the work. A
// thread must not touch memory that its own open scope writes: it would wait for itself.
//
// Both classes are move-only, for one thread at a time, must not lie in managed memory, nor outlive
// their space's last handle.
#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
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

  // Declares that all work is in the stream. The fence completes with that work.
  Result<Fence> done();

 private:
  friend struct Inside;

  StreamScope(Fence end, CUstream_st* stream) noexcept;

  Fence end_;
  CUstream_st* stream_;
  bool open_ = true;
};

// Collects the memory that a scope will name. Nothing happens before begin().
class SLUICE_EXPORT ScopeRequest {
 public:
  ScopeRequest(ScopeRequest&&) noexcept = default;
  ScopeRequest& operator=(ScopeRequest&&) = delete;
  ~ScopeRequest() = default;

  // Names memory that the work reads, or may write: any part of a shared, host or device range,
  // `size` in bytes.
  ScopeRequest&& reads(const void* data, std::size_t size) &&;
  ScopeRequest&& writes(void* data, std::size_t size) &&;
  template <Contiguous T>
  ScopeRequest&& reads(const T& memory) && {
    return std::move(*this).reads(std::data(memory), size_in_bytes(memory));
  }
  template <typename T>
    requires Contiguous<std::remove_reference_t<T>>
  ScopeRequest&& writes(T&& memory) && {
    return std::move(*this).writes(std::data(memory), size_in_bytes(memory));
  }
  // The work follows pointers and may read every shared range, and with Access::write also write
  // it: Launch::every_shared_range().
  ScopeRequest&& every_shared_range(Access access = Access::write) &&;

  // Brings the memory. After an error the work must not be started: an access to an unmapped
  // address ends the process's use of the GPU.
  //   errors: as Launch::submit()
  [[nodiscard]] Result<StreamScope> begin() &&;

 private:
  friend struct Inside;
  struct Use {
    const void* data;
    std::size_t size;
    Access access;
  };

  ScopeRequest(std::shared_ptr<engine::Engine> engine, int device, CUstream_st* stream) noexcept;

  std::shared_ptr<engine::Engine> engine_;
  int device_;
  CUstream_st* stream_;
  std::vector<Use> uses_;
  std::optional<Access> every_shared_;
};

}  // namespace sluice
