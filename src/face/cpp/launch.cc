// Queues, and the conversion of launches from the public types to the engine's.
//
// A launch copies everything that the program passed (arguments at once, parts and fences as
// numbers) before the engine is called: the program's structures may lie in managed memory, and an
// engine that touched them would wait for itself.
//
// Cost: nothing is allocated for up to 8 parts, 128 bytes of arguments and no fences to wait for.
#include "sluice/launch.hpp"

#include <algorithm>
#include <cstring>

#include "face/cpp/inside.hpp"
#include "os/uncancelled.hpp"

namespace sluice {
namespace {

// The values of `count` items as the engine wants them, on the stack while they are few.
template <typename T, std::size_t Few>
class ConvertedList {
 public:
  template <typename From, typename Convert>
  ConvertedList(const From* items, std::size_t count, Convert convert) : count_(count) {
    if (count > Few) many_.resize(count);
    std::transform(items, items + count, count > Few ? many_.data() : few_.data(), convert);
  }
  [[nodiscard]] std::span<const T> span() const noexcept {
    return {count_ > Few ? many_.data() : few_.data(), count_};
  }

 private:
  std::size_t count_;
  std::array<T, Few> few_{};
  std::vector<T> many_;
};

}  // namespace

// --- Launch --------------------------------------------------------------------------------------

Launch::Launch(const Queue& queue, Kernel kernel) noexcept : queue_(&queue), kernel_(kernel) {}

Launch::~Launch() = default;

Launch& Launch::use(const void* data, std::size_t size, Access access) {
  if (use_count_ == uses_inline) more_uses_.assign(uses_.begin(), uses_.end());
  if (use_count_ < uses_inline)
    uses_[use_count_] = {data, size, access};
  else
    more_uses_.push_back({data, size, access});
  ++use_count_;
  return *this;
}

Launch& Launch::reads(const void* data, std::size_t size) { return use(data, size, Access::read); }

Launch& Launch::writes(void* data, std::size_t size) { return use(data, size, Access::write); }

Launch& Launch::every_shared_range(Access access) noexcept {
  every_shared_range_ = true;
  every_shared_access_ = access;
  return *this;
}

Launch& Launch::copy_arguments(const void* data, std::size_t size) {
  argument_size_ = size;
  arguments_missing_ = data == nullptr && size != 0;
  // submit() refuses arguments too large for the device, so they need not be copied.
  if (arguments_missing_ || size == 0 || size > queue_->argument_limit_) return *this;
  if (size > arguments_inline) more_arguments_.resize(size);
  std::memcpy(size > arguments_inline ? more_arguments_.data() : arguments_.data(), data, size);
  return *this;
}

Launch& Launch::items(std::uint64_t count) noexcept {
  items_ = count;
  return *this;
}

Launch& Launch::after(const Fence& fence) {
  fences_.push_back(fence);
  return *this;
}

Result<Fence> Launch::submit_from(const void* caller, const SourcePlace* site) {
  const os::Uncancelled whole_call;
  const auto& engine = queue_->engine_;
  if (engine == nullptr)
    return fail(ErrorCode::invalid_argument, "a launch in a queue that was moved from");
  if (Inside::space_of(kernel_) == 0)
    return fail(ErrorCode::unknown_kernel, "a kernel that no space has found");
  if (Inside::space_of(kernel_) != engine->number()) {
    return fail(ErrorCode::invalid_argument,
                "a kernel of another space (number %u) in a queue of this one (%u): find the "
                "kernel in the space that launches it",
                Inside::space_of(kernel_), engine->number());
  }
  if (kernel_.device() != queue_->device_) {
    return fail(ErrorCode::invalid_argument, "a kernel of device %d in a queue of device %d",
                kernel_.device(), queue_->device_);
  }
  if (arguments_missing_) {
    return fail(ErrorCode::invalid_argument, "%zu bytes of arguments at a null pointer",
                argument_size_);
  }
  if (argument_size_ > queue_->argument_limit_) {
    return fail(ErrorCode::invalid_argument,
                "%zu bytes of arguments: device %d carries at most %zu", argument_size_,
                queue_->device_, queue_->argument_limit_);
  }
  for (const Fence& fence : fences_) {
    const auto& home = Inside::engine(fence);
    if (home != nullptr && home != engine) {
      return fail(ErrorCode::invalid_argument,
                  "a launch of this space cannot wait for a fence of another space");
    }
  }

  const ConvertedList<engine::Use, uses_inline> uses(
      use_count_ > uses_inline ? more_uses_.data() : uses_.data(), use_count_,
      [](const Use& part) { return engine::Use{span_of(part.data, part.size), part.access}; });
  const ConvertedList<device::Fence, 4> wait_for(
      fences_.data(), fences_.size(), [](const Fence& fence) { return Inside::fence(fence); });
  SLUICE_ASSIGN(fence, engine->launch({
                           .device = queue_->device_,
                           .queue = {queue_->number_},
                           .kernel = Inside::kernel(kernel_),
                           .arguments = {argument_size_ > arguments_inline ? more_arguments_.data()
                                                                           : arguments_.data(),
                                         argument_size_},
                           .items = items_,
                           .uses = uses.span(),
                           .every_shared_range = every_shared_range_,
                           .every_shared_access = every_shared_access_,
                           .wait_for = wait_for.span(),
                           .site = {caller, site},
                       }));
  return Inside::fence(engine, fence);
}

// --- Queue ---------------------------------------------------------------------------------------

Queue::Queue(std::shared_ptr<engine::Engine> engine, int device, std::uint16_t number,
             std::size_t argument_limit) noexcept
    : engine_(std::move(engine)),
      device_(device),
      number_(number),
      argument_limit_(argument_limit) {}

Queue::Queue(Queue&& other) noexcept = default;

Queue& Queue::operator=(Queue&& other) noexcept {
  Queue taken(std::move(other));
  std::swap(engine_, taken.engine_);
  std::swap(device_, taken.device_);
  std::swap(number_, taken.number_);
  std::swap(argument_limit_, taken.argument_limit_);
  return *this;
}

Queue::~Queue() {
  const os::Uncancelled whole_call;
  if (engine_ != nullptr) engine_->destroy_queue(device_, {number_});
}

Result<Kernel> Queue::kernel(std::string_view name) const { return kernel({}, name); }

Result<Kernel> Queue::kernel(std::string_view module, std::string_view name) const {
  if (engine_ == nullptr)
    return fail(ErrorCode::invalid_argument, "a kernel of a queue that was moved from");
  return Inside::space(engine_).kernel(device_, module, name);
}

}  // namespace sluice
