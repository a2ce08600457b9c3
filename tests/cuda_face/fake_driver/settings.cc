// Reads the environment once, counts calls, and draws pauses.
#include "cuda_face/fake_driver/settings.hpp"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace sluice::fake_cuda {
namespace {

struct Failure {
  std::uint64_t first = 0;  // the number of the call
  bool lasts = false;
  CUresult error = device::cuda::error_out_of_memory;
  std::uint64_t calls = 0;
};

struct Failures {
  std::mutex mutex;
  std::map<std::string, Failure, std::less<>> by_entry;
};

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe)
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

void add_failure(Failures& failures, const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) return;
  Failure failure;
  char* rest = nullptr;
  failure.first = std::strtoull(text.c_str() + colon + 1, &rest, 10);
  failure.lasts = *rest == '+';
  if (failure.lasts) ++rest;
  if (*rest == ':') failure.error = static_cast<CUresult>(std::strtol(rest + 1, nullptr, 10));
  failures.by_entry[text.substr(0, colon)] = failure;
}

// Never destroyed: threads of streams outlive main().
Failures& failures() {
  static Failures& all = *[] {
    auto* const made = new Failures;
    const char* const text = std::getenv("FAKE_CUDA_FAIL");  // NOLINT(concurrency-mt-unsafe)
    std::string rest = text != nullptr ? text : "";
    while (!rest.empty()) {
      const std::size_t comma = rest.find(',');
      add_failure(*made, rest.substr(0, comma));
      rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    }
    return made;
  }();
  return all;
}

}  // namespace

const Settings& settings() {
  static const Settings read = [] {
    Settings settings;
    settings.gpus = static_cast<int>(number_of("FAKE_CUDA_GPUS", 1));
    settings.memory = number_of("FAKE_CUDA_MEMORY", settings.memory >> 20) << 20;
    settings.stall = number_of("FAKE_CUDA_STALL", 0);
    settings.gap = number_of("FAKE_CUDA_GAP", 0) != 0;
    return settings;
  }();
  return read;
}

namespace {

struct Calls {
  std::mutex mutex;
  std::map<std::string, std::uint64_t, std::less<>> by_entry;
};

Calls& calls() {
  static Calls& all = *new Calls;
  return all;
}

void count_call(const char* entry) {
  Calls& all = calls();
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_entry.find(entry);
  if (found == all.by_entry.end())
    all.by_entry[entry] = 1;
  else
    ++found->second;
}

}  // namespace

std::uint64_t fake_cuda_calls(const char* entry) {
  Calls& all = calls();
  const std::lock_guard lock(all.mutex);
  std::uint64_t count = 0;
  for (const auto& [name, number] : all.by_entry)
    if (entry == nullptr || name == entry) count += number;
  return count;
}

CUresult injected_error(const char* entry) {
  count_call(entry);
  Failures& all = failures();
  if (all.by_entry.empty()) return device::cuda::success;
  const std::lock_guard lock(all.mutex);
  const auto found = all.by_entry.find(entry);
  if (found == all.by_entry.end()) return device::cuda::success;
  Failure& failure = found->second;
  const std::uint64_t call = ++failure.calls;
  const bool fails = failure.lasts ? call >= failure.first : call == failure.first;
  return fails ? failure.error : device::cuda::success;
}

void stall(std::uint64_t one_in) {
  if (settings().stall == 0) return;
  static std::atomic<std::uint64_t> drawn{settings().stall};
  std::uint64_t x = drawn.fetch_add(0x9e3779b97f4a7c15ULL, std::memory_order_relaxed);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 31;
  if (x % one_in == 0) std::this_thread::sleep_for(std::chrono::microseconds((x >> 32) % 300));
}

}  // namespace sluice::fake_cuda
