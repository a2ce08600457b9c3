// Contexts: a GPU's streams, and the error that ended it. Calls act on the calling thread's
// current one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_face/fake_driver/gpu_view.hpp"
#include "cuda_face/fake_driver/stream.hpp"

namespace sluice::fake_cuda {

using device::cuda::CUstream;

constexpr CUresult error_invalid_value = 1;
constexpr CUresult error_not_initialized = 3;
constexpr CUresult error_invalid_device = 101;
constexpr CUresult error_invalid_image = 200;
constexpr CUresult error_invalid_context = 201;
constexpr CUresult error_file_not_found = 301;
constexpr CUresult error_invalid_handle = 400;
constexpr CUresult error_not_found = 500;
constexpr CUresult error_illegal_address = 700;
constexpr CUresult error_already_registered = 712;
constexpr CUresult error_not_registered = 713;
constexpr CUresult error_launch_failed = 719;
constexpr CUresult error_not_supported = 801;

// A kernel's own failure.
struct KernelFault {
  CUresult error;
};

class Context {
 public:
  explicit Context(int number) : gpu(number) {}

  // Null: no context has a stream of this handle.
  [[nodiscard]] static Context* of(CUstream handle);
  // Null: no stream of this context has the handle, or it was destroyed.
  [[nodiscard]] std::shared_ptr<Stream> find(CUstream handle);
  [[nodiscard]] CUstream create_stream(unsigned flags, int priority);
  [[nodiscard]] CUresult destroy_stream(CUstream handle);
  // Puts work into a stream, in order with the default stream.
  void submit(const std::shared_ptr<Stream>& stream, Stream::Work work,
              std::vector<Point> after = {});
  // Waits for all work that the context holds now.
  void wait_until_idle();

  // On a stream's thread.
  void carry_out(const Stream::Work& work);
  // Names the work that runs on this thread, for what is told of its faults.
  static void name_work(const char* name) noexcept;

  const int gpu;
  // The error that every call answers with from now on.
  std::atomic<CUresult> lost{device::cuda::success};
  std::atomic<int> users{0};  // of a primary context

 private:
  [[nodiscard]] std::shared_ptr<Stream> default_stream();

  std::mutex mutex_;
  std::vector<std::shared_ptr<Stream>> streams_;  // live ones
  std::vector<std::weak_ptr<Stream>> ended_;      // destroyed ones that may have work
  std::shared_ptr<Stream> default_;
};

// The calling thread's contexts; the last one is current.
[[nodiscard]] std::vector<Context*>& context_stack();
[[nodiscard]] inline Context* current_context() {
  return context_stack().empty() ? nullptr : context_stack().back();
}
[[nodiscard]] Context& primary_context(int gpu);
// One of the program's own, on the same GPU. Never destroyed: threads of streams may outlive it.
[[nodiscard]] Context& make_context(int gpu);

// What every entry begins with: an injected failure, whether the driver was initialized.
[[nodiscard]] CUresult enter(const char* entry);
// And those that need a context: that there is one, and that it is not lost.
[[nodiscard]] CUresult enter_context(const char* entry);
void initialize() noexcept;

}  // namespace sluice::fake_cuda
