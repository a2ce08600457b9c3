// What does not happen here: recovery. A context that met an access fault answers with its error
// until the process ends, as CUDA's do.
#include "cuda_face/fake_driver/context.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <thread>
#include <utility>

namespace sluice::fake_cuda {
namespace {

std::atomic<bool> initialized{false};
thread_local const char* work_name = "a copy";

CUstream handle_of(const std::shared_ptr<Stream>& stream) {
  return reinterpret_cast<CUstream>(stream.get());
}

}  // namespace

std::shared_ptr<Stream> Context::default_stream() {
  if (default_ == nullptr) {
    default_ = Stream::make(*this, false, 0, 0);
    streams_.push_back(default_);
  }
  return default_;
}

std::shared_ptr<Stream> Context::find(CUstream handle) {
  const auto value = reinterpret_cast<std::uintptr_t>(handle);
  thread_local std::vector<std::pair<Context*, std::shared_ptr<Stream>>> of_this_thread;
  const std::lock_guard lock(mutex_);
  if (value <= 1) return default_stream();
  if (value == 2) {
    for (const auto& [context, stream] : of_this_thread)
      if (context == this) return stream;
    streams_.push_back(Stream::make(*this, true, 0, 0));
    return of_this_thread.emplace_back(this, streams_.back()).second;
  }
  for (const auto& stream : streams_)
    if (handle_of(stream) == handle) return stream;
  return nullptr;
}

CUstream Context::create_stream(unsigned flags, int priority) {
  auto made =
      Stream::make(*this, (flags & device::cuda::stream_non_blocking) == 0, flags, priority);
  const std::lock_guard lock(mutex_);
  streams_.push_back(made);
  return handle_of(made);
}

CUresult Context::destroy_stream(CUstream handle) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(streams_.begin(), streams_.end(),
                                  [&](const auto& stream) { return handle_of(stream) == handle; });
  if (found == streams_.end() || *found == default_) return error_invalid_handle;
  std::erase_if(ended_, [](const auto& stream) { return stream.expired(); });
  ended_.push_back(*found);
  (*found)->close();
  streams_.erase(found);
  return device::cuda::success;
}

void Context::submit(const std::shared_ptr<Stream>& stream, Stream::Work work,
                     std::vector<Point> after) {
  stream->wait_for_room();
  const std::lock_guard lock(mutex_);
  if (stream == default_) {
    for (const auto& other : streams_)
      if (other->is_blocking) after.push_back(other->now());
  } else if (stream->is_blocking && default_ != nullptr) {
    after.push_back(default_->now());
  }
  stream->submit(std::move(work), std::move(after));
}

void Context::wait_until_idle() {
  std::vector<Point> points;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& stream : streams_) points.push_back(stream->now());
    for (const auto& ended : ended_)
      if (const auto stream = ended.lock()) points.push_back(stream->now());
  }
  for (const Point& point : points) point.wait();
}

void Context::carry_out(const Stream::Work& work) {
  if (lost != device::cuda::success || !work) return;
  work_name = "a copy";
  try {
    stall();
    GpuView view(gpu, lost);
    work(view);
    stall();
    view.finish();
  } catch (const AccessFault& fault) {
    std::fprintf(stderr, "fake CUDA driver: %s on GPU %d %s %#llx: %s\n", work_name, gpu,
                 fault.is_write ? "writes" : "reads", fault.address,
                 AddressTable::get().describe(fault.address).c_str());
    lost = error_illegal_address;
  } catch (const KernelFault& fault) {
    lost = fault.error;
  }
}

void Context::name_work(const char* name) noexcept { work_name = name; }

std::vector<Context*>& context_stack() {
  thread_local std::vector<Context*> stack;
  return stack;
}

namespace {

// Never destroyed: threads of streams outlive main().
struct Contexts {
  std::mutex mutex;
  std::vector<std::unique_ptr<Context>> all;  // the primary ones of the GPUs first
};

Contexts& contexts() {
  static auto& made = *[] {
    auto* const all = new Contexts;
    for (int number = 0; number < settings().gpus; ++number)
      all->all.push_back(std::make_unique<Context>(number));
    return all;
  }();
  return made;
}

}  // namespace

Context& primary_context(int gpu) {
  const std::lock_guard lock(contexts().mutex);
  return *contexts().all[static_cast<std::size_t>(gpu)];
}

Context& make_context(int gpu) {
  const std::lock_guard lock(contexts().mutex);
  return *contexts().all.emplace_back(std::make_unique<Context>(gpu));
}

Context* Context::of(CUstream handle) {
  if (reinterpret_cast<std::uintptr_t>(handle) <= 2) return current_context();
  const std::lock_guard lock(contexts().mutex);
  for (const auto& context : contexts().all)
    if (context->find(handle) != nullptr) return context.get();
  return nullptr;
}

void initialize() noexcept { initialized = true; }

CUresult enter(const char* entry) {
  if (const CUresult error = injected_error(entry); error != device::cuda::success) return error;
  return initialized ? device::cuda::success : error_not_initialized;
}

CUresult enter_context(const char* entry) {
  if (const CUresult error = enter(entry); error != device::cuda::success) return error;
  const Context* const context = current_context();
  return context == nullptr ? error_invalid_context : context->lost.load();
}

}  // namespace sluice::fake_cuda
