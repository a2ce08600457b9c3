// A thread that sleeps until a reader asks, and then writes the space's state into the page.
//
// Readers of the same user may ask as often as they like, so answers take at most one part in
// twenty of the thread's time. Cost while nobody asks: two descriptors, some pages and a sleeping
// thread. What it does not do: trust what it reads, which is only the word that wakes it.
#include "engine/publisher.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <thread>

#include "base/types.hpp"
#include "fault/engine_threads.hpp"
#include "observe/observe.hpp"
#include "os/calls.hpp"
#include "os/errors.hpp"
#include "os/futex.hpp"
#include "os/memory_file.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t page_bytes =
    (sizeof(observe::StatusPage) + page_size - 1) / page_size * page_size;
constexpr auto least_pause = std::chrono::milliseconds(20);
constexpr int pause_for_work = 20;

void* map_shared(const os::OwnedFd& file, std::size_t size) noexcept {
  void* const mapped =
      os::calls().mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  return mapped == MAP_FAILED ? nullptr : mapped;
}

}  // namespace

Result<void> Publisher::open() {
  SLUICE_ASSIGN(page_file, os::make_memory_file(observe::status_file_name, page_bytes));
  SLUICE_ASSIGN(request_file, os::make_memory_file(observe::request_file_name, page_size));
  if (::fchmod(page_file.get(), S_IRUSR) != 0 ||
      ::fchmod(request_file.get(), S_IRUSR | S_IWUSR) != 0)
    return os::call_failed(errno, "fchmod of the status page");
  void* const page = map_shared(page_file, page_bytes);
  void* const request = map_shared(request_file, page_size);
  page_ = static_cast<observe::StatusPage*>(page);
  request_ = static_cast<observe::StatusRequest*>(request);
  page_file_ = std::move(page_file);
  request_file_ = std::move(request_file);
  if (page == nullptr || request == nullptr)
    return os::call_failed(errno, "mmap of the status page");
  return {};
}

void Publisher::start(std::uint32_t space, std::function<void(observe::StatusPage&)> fill) noexcept
    try {
  space_ = space;
  fill_ = std::move(fill);
  opened_ = observe::now();
  if (!open()) return release();
  request_->space = space;
  answer(0);
  auto started = os::Thread::start("sluice-status", [this] { run(); });
  if (!started) return release();
  thread_ = std::move(*started);
} catch (const std::exception&) {
  release();
}

void Publisher::stop() noexcept {
  if (page_ == nullptr) return;
  stopping_ = true;
  request_->count.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(request_->count);
  thread_.join();
  release();
}

void Publisher::forget() noexcept {
  thread_.forget();
  release();
}

void Publisher::release() noexcept {
  if (page_ != nullptr) os::calls().munmap(page_, page_bytes);
  if (request_ != nullptr) os::calls().munmap(request_, page_size);
  page_ = nullptr;
  request_ = nullptr;
  page_file_.reset();
  request_file_.reset();
}

void Publisher::run() noexcept {
  using Clock = std::chrono::steady_clock;
  fault::mark_engine_thread();
  std::uint32_t answered = 0;
  while (true) {
    os::futex_wait(request_->count, answered, Clock::time_point::max());
    const std::uint32_t request = request_->count.load(std::memory_order_acquire);
    if (stopping_) return;
    if (request == answered) continue;
    answered = request;
    const Clock::time_point began = Clock::now();
    answer(request);
    // A space that closes meanwhile wakes the thread from its pause.
    const auto pause =
        std::max<Clock::duration>(least_pause, pause_for_work * (Clock::now() - began));
    const Clock::time_point until = Clock::now() + pause;
    while (!stopping_ && Clock::now() < until)
      os::futex_wait(request_->count, request_->count.load(std::memory_order_acquire), until);
  }
}

void Publisher::answer(std::uint32_t request) noexcept try {
  observe::StatusPage now{};
  now.magic = observe::StatusPage::magic_word;
  now.version = observe::StatusPage::current;
  now.space = space_;
  now.answered = request;
  now.opened = opened_;
  std::strncpy(now.program.data(), program_invocation_short_name, now.program.size() - 1);
  fill_(now);
  now.time = observe::now();
  // A reader sees in between an odd number, or another one afterwards.
  std::atomic_ref<std::uint32_t> sequence(page_->sequence);
  now.sequence = sequence.load(std::memory_order_relaxed) + 1;
  sequence.store(now.sequence, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  std::memcpy(page_, &now, sizeof now);
  sequence.store(now.sequence + 1, std::memory_order_release);
} catch (const std::exception&) {
  // No memory: the readers keep the last state.
}

}  // namespace sluice::engine
