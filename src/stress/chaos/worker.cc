// A worker's loop and its verdicts. See stress/chaos/worker.hpp; the operations are in
// stress/chaos/operations.cc.
//
// The right bytes are known as long as launches succeed. A launch that failed may have written all,
// some or none of the memory that it named. Then the worker gives the bytes up (discard) and they
// must be zeros, whatever a dying device still does.

#include "stress/chaos/worker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

#include "base/result.hpp"
#include "program/need.hpp"
#include "stress/chaos/access.hpp"

namespace sluice::stress {
namespace {

using namespace std::chrono_literals;

// The longest wait for a condition that must soon hold. It bounds a run that fails.
constexpr auto patience = 20s;

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

}  // namespace

void ChaosPiece::note(std::string_view event) {
  constexpr std::size_t enough = 400;
  if (history.size() > enough) history.erase(0, history.size() - enough);
  history.append(event).append(", ");
}

ChaosWorker::ChaosWorker(const Space& space, std::uint64_t seed, std::vector<ChaosPiece> pieces,
                         ChaosState& state, Progress& progress, Findings& findings)
    : space_(space),
      seed_(seed),
      random_(seed),
      pieces_(std::move(pieces)),
      state_(state),
      progress_(progress),
      findings_(findings) {
  std::size_t largest = 0;
  for (ChaosPiece& piece : pieces_) {
    piece.shadow.resize(piece.size);  // unwritten bytes read as zeros
    largest = std::max(largest, piece.size);
  }
  scratch_.resize(largest);
  for (int number = 0; number < space.device_count(); ++number) {
    Result<Device> device = open_device(number);
    // In a round of hangs a loaded machine is enough to lose it.
    for (int left = 20; !device && state_.deaths != 0 && left > 0; --left) {
      static_cast<void>(space.reset_device(number));
      device = open_device(number);
    }
    devices_.push_back(program::need("a queue and its kernels", std::move(device)));
  }
}

Result<ChaosWorker::Device> ChaosWorker::open_device(int number) const {
  SLUICE_ASSIGN(info, space_.device(number));
  SLUICE_ASSIGN(queue, space_.queue(number));
  SLUICE_ASSIGN(mix, queue.kernel("mix"));
  SLUICE_ASSIGN(copy, queue.kernel("copy"));
  return Device{std::move(queue), info.recoverable_faults, mix, copy};
}

// --- verdicts ------------------------------------------------------------------------------------

// A launch that waits for one that failed fails with it, whatever failed that.
void ChaosWorker::finish(ChaosPiece& piece) {
  bool any_failed = false;
  for (const Fence& fence : piece.pending) {
    while (true) {
      const Result<void> waited =
          fence.wait(random_.chance(50) ? OnSignal::return_interrupted : OnSignal::keep_waiting);
      if (!waited && waited.error().code() == ErrorCode::interrupted) continue;
      if (!waited) {
        piece.uncertain = true;
        piece.note("launch failed");
        ++state_.failed;
        const bool follows =
            waited.error().detail().find("which this launch waits for") != std::string::npos;
        if (!any_failed || !follows)
          static_cast<void>(refused("a launch", waited.error(), nullptr));
        any_failed = true;
      }
      break;
    }
  }
  piece.pending.clear();
  if (piece.uncertain) give_up_bytes(piece);
}

void ChaosWorker::give_up_bytes(ChaosPiece& piece) {
  piece.uncertain = false;
  if (piece.use == ChaosPiece::Use::in_place) {  // bytes that never move are overwritten
    std::fill(piece.shadow.begin(), piece.shadow.end(), std::byte{});
    if (!store(piece.data, piece.shadow.data(), piece.size))
      findings_.violation(fmt::format("a store to a host range died; {}", context()));
    return;
  }
  // Others have the block mapped or leased for a while.
  Result<void> given_up;
  const bool done = eventually([&] {
    given_up = space_.discard(piece.data, piece.size);
    return given_up.has_value();
  });
  if (!done) {
    findings_.violation(fmt::format("what was lost cannot be discarded: {} ({}); {}",
                                    given_up.error().detail(), to_string(given_up.error().code()),
                                    context()));
    piece.uncertain = true;
    return;
  }
  std::fill(piece.shadow.begin(), piece.shadow.end(), std::byte{});
  piece.note("given up");
}

void ChaosWorker::expect_reported(ChaosPiece& piece, const char* what) {
  for (const Fence& fence : piece.pending) static_cast<void>(fence.wait());
  piece.pending.clear();
  std::size_t lost = 0;
  const bool reported = eventually([&] {
    const auto where = space_.residency(piece.data, piece.size);
    lost = where ? where->lost : 0;
    return lost != 0;
  });
  if (!reported) {
    findings_.violation(fmt::format("{}, although nothing is reported as lost; {}; {}; {}; {}",
                                    what, last_death(), context(), space_.explain(piece.data),
                                    piece.history));
  } else if (state_.deaths == 0 || piece.use != ChaosPiece::Use::anywhere) {
    findings_.violation(
        fmt::format("{} pages are reported as lost, although {}; {}; {}", lost,
                    state_.deaths == 0 ? "no device died" : "no device ever had them", context(),
                    space_.explain(piece.data)));
  }
  state_.lost += lost * page_size;
  give_up_bytes(piece);
}

void ChaosWorker::compare(ChaosPiece& piece, std::size_t offset, const std::byte* got,
                          std::size_t size) {
  finish(piece);
  state_.checked += size;
  const auto expected = piece.shadow.begin() + static_cast<std::ptrdiff_t>(offset);
  const auto [wrong, right] = std::mismatch(got, got + size, expected);
  if (wrong == got + size) return;
  // After finish() gave the bytes up, earlier loads prove nothing.
  std::vector<std::byte> now(size);
  if (!load(now.data(), piece.data + offset, size)) return expect_reported(piece, "an access died");
  const auto first = std::mismatch(now.begin(), now.end(), expected).first;
  const bool still = first != now.end();
  const std::size_t place =
      offset + static_cast<std::size_t>(still ? first - now.begin() : wrong - got);
  findings_.more_wrong_bytes(1);
  findings_.violation(fmt::format(
      "wrong byte {} of a piece of {} bytes at {}: expected {:#04x}, {} {:#04x}; {}; {}; {}", place,
      piece.size, fmt::ptr(piece.data), static_cast<int>(piece.shadow[place]),
      still ? "it is" : "it was once", static_cast<int>(still ? *first : *wrong), context(),
      space_.explain(piece.data + place), piece.history));
}

void ChaosWorker::check(ChaosPiece& piece) {
  show(piece);
  const std::size_t size = random_.chance(50) ? piece.size : random_.size_up_to(piece.size);
  const std::size_t offset = random_.below(piece.size - size + 1);
  if (piece.use == ChaosPiece::Use::in_place) finish(piece);
  // The load comes first: it has to wait for the kernels that may write the bytes.
  judge(piece, offset, size, load(scratch_.data(), piece.data + offset, size));
}

void ChaosWorker::judge(ChaosPiece& piece, std::size_t offset, std::size_t size, bool loaded) {
  if (!loaded) return expect_reported(piece, "an access died");
  const std::vector<Fence> pending = piece.pending;
  finish(piece);
  const bool failed = std::any_of(pending.begin(), pending.end(),
                                  [](const Fence& fence) { return fence.failed(); });
  if (!failed) compare(piece, offset, scratch_.data(), size);
}

bool ChaosWorker::refused(const char* call, const Error& error, ChaosPiece* piece) {
  if (piece != nullptr) piece->note(fmt::format("{} {}", call, to_string(error.code())));
  const bool planned = error.detail().find("planned") != std::string::npos;
  switch (error.code()) {
    case ErrorCode::busy:
    case ErrorCode::out_of_device_memory:
    case ErrorCode::interrupted:
    case ErrorCode::timed_out:  // only mapping has a deadline
      return false;
    case ErrorCode::data_lost:
      if (piece != nullptr) expect_reported(*piece, call);
      return false;
    case ErrorCode::device_lost:
    case ErrorCode::unknown_kernel:
      if (state_.deaths != 0) return false;
      break;
    case ErrorCode::device_fault: {
      // On such a device a kernel dies if bytes cannot be moved: those that are lost, or leased
      // elsewhere.
      const bool recoverable = std::any_of(devices_.begin(), devices_.end(),
                                           [](const Device& device) { return device.recoverable; });
      if (recoverable) return false;
      break;
    }
    default:
      if (planned) return false;
      break;
  }
  findings_.unexpected_error(
      fmt::format("{}: {} ({}); {}", call, error.detail(), to_string(error.code()), context()));
  return false;
}

// After a reset kernels must be found again; a queue that a fault stopped does not go on.
void ChaosWorker::renew(Device& device) {
  const int number = device.queue.device();
  Result<Queue> queue = space_.queue(number);
  if (!went("queue", queue)) return;
  const Result<Kernel> mix = queue->kernel("mix");
  const Result<Kernel> copy = queue->kernel("copy");
  if (!went("kernel", mix) || !went("kernel", copy)) return;
  device.queue = *std::move(queue);
  device.mix = *mix;
  device.copy = *copy;
}

std::string ChaosWorker::context() const {
  return fmt::format("in {}, worker's seed {}", doing_, seed_);
}

void ChaosWorker::show(const ChaosPiece& piece) {
  progress_.size.store(piece.size, std::memory_order_relaxed);
  progress_.address.store(Address::of(piece.data).value, std::memory_order_relaxed);
}

}  // namespace sluice::stress
