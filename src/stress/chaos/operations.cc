// The operations of a worker under chaos. See stress/chaos/worker.hpp.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "os/owned_fd.hpp"
#include "sluice/soft_kernels_builtin.h"
#include "stress/chaos/access.hpp"
#include "stress/chaos/worker.hpp"

namespace sluice::stress {
namespace {

std::uint8_t* bytes(std::byte* data) { return reinterpret_cast<std::uint8_t*>(data); }

void mix_shadow(std::byte* shadow, std::uint64_t seed, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    shadow[i] =
        static_cast<std::byte>(sluice_soft_mixed(static_cast<std::uint64_t>(shadow[i]), seed, i));
}

}  // namespace

struct ChaosWorker::Operation {
  const char* name;
  std::size_t weight;
  void (ChaosWorker::*run)();
};

std::vector<ChaosWorker::Operation> ChaosWorker::operations() {
  return {{"host_store", 30, &ChaosWorker::host_store},
          {"host_check", 30, &ChaosWorker::host_check},
          {"launch_mix", 40, &ChaosWorker::launch_mix},
          {"launch_copy", 20, &ChaosWorker::launch_copy},
          {"prefetch", 10, &ChaosWorker::prefetch},
          {"advise", 6, &ChaosWorker::advise},
          {"lease", 6, &ChaosWorker::lease},
          {"discard", 4, &ChaosWorker::discard},
          {"copy_out", 8, &ChaosWorker::copy_out},
          {"copy_in", 8, &ChaosWorker::copy_in},
          {"through_a_pipe", 6, &ChaosWorker::through_a_pipe},
          {"map", 3, &ChaosWorker::map},
          {"own_range", 4, &ChaosWorker::own_range},
          {"ask", 6, &ChaosWorker::ask}};
}

void ChaosWorker::run() {
  const std::vector<Operation> all = operations();
  std::vector<std::size_t> drawn;  // each as often as its weight
  for (std::size_t i = 0; i < all.size(); ++i) drawn.insert(drawn.end(), all[i].weight, i);
  while (!state_.stop.load(std::memory_order_relaxed) && findings_.counts().clean()) {
    const std::size_t number = drawn[random_.below(drawn.size())];
    doing_ = all[number].name;
    progress_.address.store(0, std::memory_order_relaxed);
    progress_.since.store(std::chrono::steady_clock::now().time_since_epoch().count(),
                          std::memory_order_relaxed);
    progress_.doing.store(doing_, std::memory_order_relaxed);
    (this->*all[number].run)();
    progress_.done[number].fetch_add(1, std::memory_order_relaxed);
  }
  progress_.doing.store(nullptr, std::memory_order_relaxed);
}

void ChaosWorker::check_all() {
  doing_ = "the last check";
  for (ChaosPiece& piece : pieces_) {
    finish(piece);
    if (load(scratch_.data(), piece.data, piece.size))
      compare(piece, 0, scratch_.data(), piece.size);
    else
      expect_reported(piece, "an access died");
  }
}

ChaosPiece& ChaosWorker::any_piece_for_devices() {
  while (true) {
    ChaosPiece& piece = any_piece();
    if (piece.use != ChaosPiece::Use::host_only) return piece;
  }
}

Location ChaosWorker::any_location() {
  const std::size_t drawn = random_.below(devices_.size() + 1);
  return drawn == devices_.size() ? Location::host() : Location::device(static_cast<int>(drawn));
}

// --- by the host ---------------------------------------------------------------------------------

void ChaosWorker::host_store() {
  ChaosPiece& piece = any_piece();
  show(piece);
  // On a device with recoverable faults, and in host memory that a device works on, no access waits
  // for a kernel.
  finish(piece);
  const std::size_t size = random_.size_up_to(piece.size);
  const std::size_t offset = random_.below(piece.size - size + 1);
  const auto value = static_cast<std::byte>(random_.next());
  std::fill_n(scratch_.begin(), size, value);
  if (!store(piece.data + offset, scratch_.data(), size))
    return expect_reported(piece, "a store died");
  std::fill_n(piece.shadow.begin() + static_cast<std::ptrdiff_t>(offset), size, value);
  piece.note("stored");
}

void ChaosWorker::host_check() { check(any_piece()); }

// The kernel itself loads and stores.
void ChaosWorker::through_a_pipe() {
  if (space_.status().grade != Grade::full) return host_check();
  ChaosPiece& piece = any_piece();
  show(piece);
  finish(piece);
  const std::size_t size = std::min(piece.size, random_.size_up_to(4 * page_size));
  const std::size_t offset = random_.below(piece.size - size + 1);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    return findings_.unexpected_error(fmt::format("pipe2: errno {}; {}", errno, context()));
  const os::OwnedFd out(ends[0]);
  const os::OwnedFd in(ends[1]);
  const ssize_t written = write(in.get(), piece.data + offset, size);
  if (written <= 0) {
    if (errno == EFAULT) return expect_reported(piece, "write(2) got EFAULT");
    if (errno == EINTR) return;
    return findings_.unexpected_error(fmt::format("write(2): errno {}; {}", errno, context()));
  }
  const auto count = static_cast<std::size_t>(written);
  if (read(out.get(), scratch_.data(), count) == written)
    compare(piece, offset, scratch_.data(), count);
}

// --- by devices ----------------------------------------------------------------------------------

void ChaosWorker::submitted(ChaosPiece& piece, const Device& device, const Fence& fence) {
  piece.pending.push_back(fence);
  if (device.recoverable || piece.pending.size() > 3 || random_.chance(40)) finish(piece);
}

void ChaosWorker::launch_mix() {
  ChaosPiece& piece = any_piece_for_devices();
  show(piece);
  Device& device = any_device();
  const std::uint64_t seed = random_.next();
  Launch launch = device.queue.launch(device.mix);
  for (const Fence& fence : piece.pending) launch.after(fence);
  launch.writes(piece.data, piece.size)
      .arguments(sluice_soft_mix{bytes(piece.data), 1, seed, 1})
      .items(piece.size);
  const Result<Fence> fence = launch.submit();
  if (!went("launch", fence, &piece)) return renew(device);
  mix_shadow(piece.shadow.data(), seed, piece.size);
  submitted(piece, device, *fence);
}

void ChaosWorker::launch_copy() {
  ChaosPiece& from = any_piece_for_devices();
  ChaosPiece& to = any_piece_for_devices();
  if (from.data == to.data) return;
  finish(from);
  finish(to);
  show(to);
  const std::size_t size = std::min(from.size, to.size);
  Device& device = any_device();
  Launch launch = device.queue.launch(device.copy);
  launch.reads(from.data, size)
      .writes(to.data, size)
      .arguments(sluice_soft_copy{to.data, from.data})
      .items(size);
  const Result<Fence> fence = launch.submit();
  if (!fence && fence.error().code() == ErrorCode::data_lost) {
    const auto where = space_.residency(to.data, to.size);
    static_cast<void>(went("launch", fence, where && where->lost != 0 ? &to : &from));
    return;
  }
  if (!went("launch", fence)) return renew(device);
  std::copy_n(from.shadow.begin(), size, to.shadow.begin());
  to.note("written by launch_copy");
  to.pending.push_back(*fence);
  finish(to);  // the bytes that it reads must not change meanwhile
}

// --- what a program asks a space to do -----------------------------------------------------------

void ChaosWorker::prefetch() {
  ChaosPiece& piece = any_piece_for_devices();
  show(piece);
  const Result<Fence> fence = space_.prefetch(piece.data, piece.size, any_location());
  if (went("prefetch", fence, &piece) && random_.chance(30))
    static_cast<void>(fence->wait_for(std::chrono::milliseconds(50)));
}

void ChaosWorker::advise() {
  ChaosPiece& piece = any_piece_for_devices();
  constexpr std::array kinds{AdviceKind::no_preference, AdviceKind::not_accessed_by,
                             AdviceKind::read_mostly,   AdviceKind::not_read_mostly,
                             AdviceKind::prefer,        AdviceKind::accessed_by};
  static_cast<void>(
      went("advise", space_.advise(piece.data, piece.size, kinds[random_.below(kinds.size())],
                                   Location::device(any_device().queue.device()))));
}

void ChaosWorker::lease() {
  ChaosPiece& piece = any_piece_for_devices();
  show(piece);
  finish(piece);
  const Location location =
      piece.use == ChaosPiece::Use::anywhere ? any_location() : Location::host();
  const Result<Lease> held = space_.lease(piece.data, piece.size, location,
                                          random_.chance(50) ? Access::read : Access::write);
  if (!went("lease", held, &piece)) return;
  if (!location.is_host()) return std::this_thread::sleep_for(std::chrono::microseconds(200));
  if (load(scratch_.data(), piece.data, piece.size))
    compare(piece, 0, scratch_.data(), piece.size);
  else
    findings_.violation(fmt::format("an access to a piece leased on the host died; {}", context()));
}

void ChaosWorker::discard() {
  ChaosPiece& piece = any_piece();
  if (piece.use == ChaosPiece::Use::in_place) return;
  show(piece);
  finish(piece);
  // A piece in two blocks may have been discarded in part.
  const Result<void> discarded = space_.discard(piece.data, piece.size);
  if (!discarded) piece.uncertain = true;
  if (!went("discard", discarded, &piece)) return finish(piece);
  std::fill(piece.shadow.begin(), piece.shadow.end(), std::byte{});
}

void ChaosWorker::copy_out() {
  ChaosPiece& piece = any_piece();
  show(piece);
  finish(piece);
  if (went("copy", space_.copy(scratch_.data(), piece.data, piece.size), &piece))
    compare(piece, 0, scratch_.data(), piece.size);
}

void ChaosWorker::copy_in() {
  ChaosPiece& piece = any_piece();
  show(piece);
  finish(piece);
  for (std::size_t i = 0; i < piece.size; ++i) scratch_[i] = static_cast<std::byte>(random_.next());
  const Result<void> copied = space_.copy(piece.data, scratch_.data(), piece.size);
  // It may have been done in part.
  if (!copied && copied.error().code() != ErrorCode::busy) piece.uncertain = true;
  if (went("copy", copied, &piece)) std::copy_n(scratch_.begin(), piece.size, piece.shadow.begin());
  finish(piece);
}

void ChaosWorker::map() {
  ChaosPiece& piece = any_piece_for_devices();
  if (piece.use != ChaosPiece::Use::anywhere) return;
  show(piece);
  std::vector<int> devices;
  for (const Device& device : devices_) devices.push_back(device.queue.device());
  MappingOptions options;
  options.deadline = Fence::Clock::now() + std::chrono::seconds(2);
  // It concerns whole blocks, and the lost bytes may belong to other workers' pieces.
  const bool is_mapped = went("map", space_.map({{piece.data, piece.size}}, devices, options));
  const bool loaded = is_mapped && load(scratch_.data(), piece.data, piece.size);
  static_cast<void>(went("unmap", space_.unmap({{piece.data, piece.size}}, devices)));
  // Not before: what was lost cannot be discarded while it is mapped.
  if (is_mapped) judge(piece, 0, piece.size, loaded);
}

void ChaosWorker::own_range() {
  const std::size_t size = page_size * random_.size_up_to(700);
  Result<Range> range = space_.allocate(size);
  if (!went("allocate", range)) return;
  ChaosPiece piece{.data = range->data(), .size = std::min(range->size(), scratch_.size())};
  piece.shadow.resize(piece.size);
  show(piece);
  check(piece);  // zeros, whatever was there before
  Device& device = any_device();
  const Result<Fence> fence = device.queue.launch(device.mix)
                                  .writes(piece.data, piece.size)
                                  .arguments(sluice_soft_mix{bytes(piece.data), 1, 7, 1})
                                  .items(piece.size)
                                  .submit();
  if (!went("launch", fence, &piece)) return renew(device);
  mix_shadow(piece.shadow.data(), 7, piece.size);
  submitted(piece, device, *fence);
  if (random_.chance(70)) check(piece);
  static_cast<void>(went("free", range->free(), &piece));
}

void ChaosWorker::ask() {
  ChaosPiece& piece = any_piece();
  static_cast<void>(went("residency", space_.residency(piece.data, piece.size)));
  static_cast<void>(went("attributes", space_.attributes(piece.data)));
  static_cast<void>(space_.explain(piece.data));
  static_cast<void>(space_.status());
}

}  // namespace sluice::stress
