// The loop of a stress worker, its choices and its verdicts. See stress/worker.hpp. The operations
// themselves are in stress/host_operations.cc, stress/launches.cc and stress/requests.cc.

#include "stress/worker.hpp"
#include "program/need.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

namespace sluice::stress {
namespace {

constexpr std::size_t favourite_count = 5;
constexpr std::size_t percent_favourite = 70;
constexpr std::size_t percent_own_range = 15;
// Favourites change once in so many operations.
constexpr std::size_t favourite_life = 150;
// Launches that a worker leaves unwaited for.
constexpr std::size_t most_pending = 6;

}  // namespace

struct Worker::Operation {
  const char* name;
  std::size_t weight;
  void (Worker::*run)();
};

// The weights balance operations that find bugs (launches between host accesses to the same pages)
// against slow ones.
std::span<const Worker::Operation> Worker::operations() {
  static constexpr Operation all[] = {
      {"host_write", 180, &Worker::host_write},
      {"host_read", 180, &Worker::host_read},
      {"host_fill", 40, &Worker::host_fill},
      {"string", 20, &Worker::string},
      {"file_to_memory", 20, &Worker::file_to_memory},
      {"memory_to_file", 20, &Worker::memory_to_file},
      {"count", 60, &Worker::count},
      {"read_constant", 40, &Worker::read_constant},
      {"launch_mix", 120, &Worker::launch_mix},
      {"launch_copy", 50, &Worker::launch_copy},
      {"launch_check_sum", 90, &Worker::launch_check_sum},
      {"launch_list_walk", 15, &Worker::launch_list_walk},
      {"launch_on_everything", 4, &Worker::launch_on_everything},
      {"launch_count", 20, &Worker::launch_count},
      {"prefetch", 60, &Worker::prefetch},
      {"advise", 30, &Worker::advise},
      {"lease", 25, &Worker::lease},
      {"discard", 15, &Worker::discard},
      {"copy", 30, &Worker::copy},
      {"own_range", 15, &Worker::own_range},
      {"device_range", 8, &Worker::device_range},
      {"ask", 20, &Worker::ask},
      {"synchronize", 1, &Worker::synchronize},
  };
  static_assert(std::size(all) <= most_operations);
  return all;
}

std::span<const char* const> Worker::operation_names() {
  static const std::vector<const char*> names = [] {
    std::vector<const char*> list;
    for (const Operation& operation : operations()) list.push_back(operation.name);
    return list;
  }();
  return names;
}

Worker::Worker(int number, const Space& space, std::span<const Queue> queues, const Model& model,
               const Setting& setting, std::uint64_t seed, Progress& progress, Findings& findings)
    : number_(number),
      space_(space),
      model_(model),
      setting_(setting),
      seed_(seed),
      random_(seed + static_cast<std::uint64_t>(number) * 0x10001),
      progress_(progress),
      findings_(findings),
      added_(Model::counters),
      scratch_(new std::byte[scratch_size]),
      file_(std::tmpfile(), std::fclose) {
  if (!file_)
    throw program::CannotRun(
        "no temporary file for read(2) and write(2): is /tmp full or not writable?");
  for (const Queue& queue : queues) {
    const bool recoverable =
        program::need("device", space.device(queue.device())).recoverable_faults;
    const Kernel mix = program::need("kernel mix", queue.kernel("mix"));
    const Kernel copy = program::need("kernel copy", queue.kernel("copy"));
    const Kernel check_sum = program::need("kernel check_sum", queue.kernel("check_sum"));
    const Kernel list_walk = program::need("kernel list_walk", queue.kernel("list_walk"));
    const Kernel nothing = program::need("kernel nothing", queue.kernel("nothing"));
    devices_.push_back({queue, recoverable, mix, copy, check_sum, list_walk, nothing});
  }
}

void Worker::run(const std::atomic<bool>& stop) {
  std::vector<std::size_t> drawn;  // each operation as often as its weight
  for (std::size_t i = 0; i < operations().size(); ++i) {
    const bool left_out = std::find(setting_.without.begin(), setting_.without.end(),
                                    operations()[i].name) != setting_.without.end();
    if (!left_out) drawn.insert(drawn.end(), operations()[i].weight, i);
  }

  for (std::size_t turn = 0; !stop.load(std::memory_order_relaxed); ++turn) {
    if (turn % favourite_life == 0) favourites_.clear();
    begin(drawn[random_.below(drawn.size())]);
    (this->*operations()[operation_].run)();
    end();
  }
  progress_.doing = "comparing everything at the end";
  wait_for_all();
  for (const Slice& slice : model_.owned_by(number_)) check(slice);
  while (!own_ranges_.empty()) give_up_a_range();
  progress_.doing = nullptr;
}

void Worker::begin(std::size_t operation) {
  operation_ = operation;
  progress_.address.store(0, std::memory_order_relaxed);
  progress_.since.store(std::chrono::steady_clock::now().time_since_epoch().count(),
                        std::memory_order_relaxed);
  progress_.doing.store(operations()[operation].name, std::memory_order_relaxed);
}

void Worker::end() {
  const std::int64_t took = std::chrono::steady_clock::now().time_since_epoch().count() -
                            progress_.since.load(std::memory_order_relaxed);
  progress_.done[operation_].fetch_add(1, std::memory_order_relaxed);
  if (took > progress_.slowest[operation_].load(std::memory_order_relaxed)) {
    progress_.slowest[operation_].store(took, std::memory_order_relaxed);
  }
}

void Worker::show(Slice part) {
  progress_.size.store(part.size, std::memory_order_relaxed);
  progress_.address.store(Address::of(part.data()).value, std::memory_order_relaxed);
}

// --- choices -------------------------------------------------------------------------------------

Slice Worker::any_slice() {
  const std::vector<Slice>& owned = model_.owned_by(number_);
  if (favourites_.empty()) {
    for (std::size_t i = 0; i < favourite_count; ++i)
      favourites_.push_back(owned[random_.below(owned.size())]);
  }
  if (!own_ranges_.empty() && random_.chance(percent_own_range)) {
    ModelRange& home = *own_ranges_[random_.below(own_ranges_.size())];
    return {&home, 0, home.range.size()};
  }
  return random_.chance(percent_favourite) ? favourites_[random_.below(favourites_.size())]
                                           : owned[random_.below(owned.size())];
}

Location Worker::any_location() {
  const std::size_t drawn = random_.below(devices_.size() + 1);
  return drawn == devices_.size() ? Location::host() : Location::device(static_cast<int>(drawn));
}

Slice Worker::any_result(Slice other) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    const Slice slice = any_slice();
    const Slice result = slice.part(random_.below(slice.size), 0);
    const Slice rest{slice.home, result.offset, slice.offset + slice.size - result.offset};
    const Slice place = rest.aligned(sizeof(std::uint64_t), sizeof(std::uint64_t));
    const bool apart = place.home != other.home || place.offset + place.size <= other.offset ||
                       other.offset + other.size <= place.offset;
    if (place.size != 0 && apart) return place;
  }
  return {};
}

// --- verdicts ------------------------------------------------------------------------------------

void Worker::check(Slice part) {
  for (std::size_t begin = 0; begin < part.size; begin += scratch_size) {
    const Slice piece = part.part(begin, std::min(scratch_size, part.size - begin));
    show(piece);
    // Loaded once, so that the compared value is the reported one.
    std::memcpy(scratch_.get(), piece.data(), piece.size);
    check_against(piece, scratch_.get());
  }
}

void Worker::check_against(Slice part, const std::byte* got) {
  progress_.bytes_checked.fetch_add(part.size, std::memory_order_relaxed);
  if (std::memcmp(got, part.shadow(), part.size) == 0) return;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < part.size; ++i) {
    if (got[i] == part.shadow()[i]) continue;
    if (wrong++ == 0) findings_.wrong_byte(space_, part, i, got[i], context());
    part.shadow()[i] = got[i];  // each loss counts once
  }
  findings_.more_wrong_bytes(wrong - 1);
}

bool Worker::refused(const char* call, const Error& error, std::initializer_list<ErrorCode> right) {
  const bool planned = setting_.steps_fail && error.detail().find("planned") != std::string::npos;
  if (planned || std::find(right.begin(), right.end(), error.code()) != right.end()) {
    progress_.refused[operation_].fetch_add(1, std::memory_order_relaxed);
  } else {
    findings_.unexpected_error(
        fmt::format("{}: {} ({}); {}", call, error.detail(), to_string(error.code()), context()));
  }
  return false;
}

void Worker::wait(const Fence& fence) {
  switch (random_.below(3)) {
    case 0:
      // Not yield(): on some kernels as many threads that yield as there are CPUs keep all others
      // from running, for seconds.
      while (!fence.done()) std::this_thread::sleep_for(std::chrono::microseconds(1));
      break;
    case 1:
      while (true) {
        const Result<void> waited = fence.wait_for(std::chrono::microseconds(random_.below(500)));
        if (waited || waited.error().code() != ErrorCode::timed_out) break;
      }
      break;
    default:
      break;
  }
  went("wait for a fence", fence.wait());
}

// Memory leased on another device must fit beside the memory leased on this one. If the budget is
// so small that the leases of all workers may fill it, a launch may be refused for that reason
// only.
bool Worker::is_kept_out_by_leases(const Result<Fence>& launched) const {
  return setting_.leases_may_fill && !launched &&
         launched.error().code() == ErrorCode::out_of_device_memory &&
         launched.error().detail().find("which is leased on device") != std::string::npos;
}

void Worker::wait_for_all() {
  for (const Fence& fence : pending_) wait(fence);
  pending_.clear();
}

bool Worker::submit(Launch& launch, const Device& device,
                    std::initializer_list<const ModelRange*> touched) {
  // Only a fence orders kernels of different queues.
  for (const Fence& fence : pending_) launch.after(fence);
  Result<Fence> fence = launch.submit();
  const bool may_not_fit = setting_.may_not_fit || is_kept_out_by_leases(fence);
  const bool submitted =
      may_not_fit ? went("launch", fence, {ErrorCode::busy, ErrorCode::out_of_device_memory})
                  : went("launch", fence, {ErrorCode::busy});
  if (!submitted) return false;
  last_launched_ = &device;
  // True if host accesses wait for the kernel by themselves.
  const bool waited_for = !setting_.steps_fail && !device.recoverable &&
                          std::all_of(touched.begin(), touched.end(), [](const ModelRange* home) {
                            return home->range.kind() == Kind::shared;
                          });
  if (!waited_for || random_.chance(40)) {
    wait(*fence);
    return true;
  }
  pending_.push_back(*std::move(fence));
  if (pending_.size() > most_pending) {
    wait(pending_.front());
    pending_.pop_front();
  }
  return true;
}

std::string Worker::context() const {
  const std::string launched =
      last_launched_ == nullptr
          ? "nothing launched yet"
          : fmt::format("last launch on device {}{}", last_launched_->queue.device(),
                        last_launched_->recoverable ? ", with recoverable faults" : "");
  return fmt::format("worker {}, {}, {}, round seed {}", number_, operations()[operation_].name,
                     launched, seed_);
}

}  // namespace sluice::stress
