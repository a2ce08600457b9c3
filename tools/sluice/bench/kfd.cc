// sluice bench kfd: MAP_MEMORY_TO_GPU of one buffer on many GPUs, in one call and in a call for
// each GPU.
//
// The machine's own /dev/kfd is measured, or if there is none, that of `sluice run --kfd=64`, in
// which the bench starts itself again. A fault plan makes page tables slow there, as real ones are:
// SLUICE_FAULT_PLAN='step=map action=slow=1'. All cases take turns with their baseline, and the
// bench reports medians.
//
//   call           microseconds of GET_VERSION, which does nothing; the baseline is getppid()
//   map_N          mapping on N GPUs in one call; the baseline is N calls
//   unmap_N        the same of UNMAP_MEMORY_FROM_GPU
//   allocate_N     ALLOC, MAP on N GPUs, UNMAP and FREE, in 4 calls; the baseline is 2 N + 2
//
// N is 1, 8 and 64, as far as there are GPUs. Takes a tenth of a second for each round; below that
// fault plan some seconds.
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <vector>

#include "bench/bench.hpp"
#include "kfd/machine.hpp"
#include "os/environment.hpp"
#include "os/errors.hpp"
#include "os/program_files.hpp"
#include "report.hpp"

namespace sluice::tool::bench {
namespace {

using kfd_contract::Machine;
namespace abi = kfd::abi;

constexpr std::array counts_of_gpus{1U, 8U, 64U};
constexpr int turns_of_calls = 200;
constexpr int turns_of_maps = 20;

// The same command below `sluice run`; it returns only if that fails.
void start_below_run() {
  const std::string self = need("find this program", os::own_file());
  std::vector<std::string> words{self, "run", "--kfd=64,vram=1GiB", "--", self};
  std::ifstream given("/proc/self/cmdline", std::ios::binary);
  std::string word;
  (void)std::getline(given, word, '\0');  // this program
  while (std::getline(given, word, '\0')) words.push_back(word);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& each : words) arguments.push_back(each.data());
  arguments.push_back(nullptr);
  ::execv(self.c_str(), arguments.data());
  throw CannotRun(fmt::format("{}: {}", self, os::errno_name(errno)));
}

class KfdMaps {
 public:
  explicit KfdMaps(Machine& machine, std::uint32_t gpus)
      : machine_(machine), handle_(machine.page()) {
    for (std::uint32_t gpu = 0; gpu < gpus; ++gpu) ids_.push_back(machine.id(gpu));
  }
  KfdMaps(const KfdMaps&) = delete;
  KfdMaps& operator=(const KfdMaps&) = delete;
  ~KfdMaps() { (void)machine_.release(handle_); }

  void round() {
    for (int turn = 0; turn < turns_of_maps && program::interruption() == 0; ++turn) {
      timed(one_map_, [&] { in_one(handle_, abi::Call::map_memory); });
      timed(one_unmap_, [&] { in_one(handle_, abi::Call::unmap_memory); });
      timed(many_maps_, [&] { in_many(handle_, abi::Call::map_memory); });
      timed(many_unmaps_, [&] { in_many(handle_, abi::Call::unmap_memory); });
      timed(one_allocation_, [&] { allocation([&](auto... each) { in_one(each...); }); });
      timed(many_allocations_, [&] { allocation([&](auto... each) { in_many(each...); }); });
    }
  }
  void forget() {
    for (auto* samples :
         {&one_map_, &one_unmap_, &many_maps_, &many_unmaps_, &one_allocation_, &many_allocations_})
      samples->clear();
  }
  void finish(std::vector<Case>& cases) const {
    const std::size_t gpus = ids_.size();
    cases.push_back({fmt::format("map_{}", gpus), median(one_map_), "us", median(many_maps_), {}});
    cases.push_back(
        {fmt::format("unmap_{}", gpus), median(one_unmap_), "us", median(many_unmaps_), {}});
    cases.push_back({fmt::format("allocate_{}", gpus),
                     median(one_allocation_),
                     "us",
                     median(many_allocations_),
                     {}});
  }

 private:
  template <typename Action>
  static void timed(std::vector<double>& samples, Action&& action) {
    const Stopwatch watch;
    action();
    samples.push_back(watch.microseconds());
  }
  void change(std::uint64_t handle, abi::Call call, std::span<const std::uint32_t> ids) const {
    std::uint32_t done = 0;
    if (const int error = machine_.map(handle, ids, done, call))
      throw CannotRun(fmt::format("a mapping on {} GPUs failed after {}: {}", ids.size(), done,
                                  os::errno_name(error)));
  }
  void in_one(std::uint64_t handle, abi::Call call) const { change(handle, call, ids_); }
  void in_many(std::uint64_t handle, abi::Call call) const {
    for (const std::uint32_t& id : ids_) change(handle, call, std::span(&id, 1));
  }
  template <typename Change>
  void allocation(Change&& on_all) {
    const std::uint64_t handle = machine_.page();
    on_all(handle, abi::Call::map_memory);
    on_all(handle, abi::Call::unmap_memory);
    if (const int error = machine_.release(handle))
      throw CannotRun(fmt::format("a page cannot be freed: {}", os::errno_name(error)));
  }

  Machine& machine_;
  std::uint64_t handle_;
  std::vector<std::uint32_t> ids_;
  std::vector<double> one_map_, one_unmap_, many_maps_, many_unmaps_, one_allocation_,
      many_allocations_;
};

class KfdCalls {
 public:
  explicit KfdCalls(const Machine& machine) : machine_(machine) {}
  void round() {
    for (int turn = 0; turn < turns_of_calls; ++turn) {
      const Stopwatch call;
      abi::GetVersion told{};
      (void)machine_.call(abi::Call::get_version, told);
      calls_.push_back(call.microseconds());
      const Stopwatch nothing;
      (void)::getppid();
      nothings_.push_back(nothing.microseconds());
    }
  }
  void forget() {
    calls_.clear();
    nothings_.clear();
  }
  void finish(std::vector<Case>& cases) const {
    cases.push_back({"call", median(calls_), "us", median(nothings_), {}});
  }

 private:
  const Machine& machine_;
  std::vector<double> calls_, nothings_;
};

}  // namespace

std::vector<Case> measure_kfd(const Options& options) {
  if (::access("/dev/kfd", F_OK) != 0 && os::environment("SLUICE_KFD_TREE") == nullptr)
    start_below_run();
  Machine machine;
  std::vector<Case> cases;
  measure_rounds(KfdCalls(machine), options, cases);
  for (const std::uint32_t gpus : counts_of_gpus)
    if (gpus <= machine.gpus()) measure_rounds(KfdMaps(machine, gpus), options, cases);
  return cases;
}

}  // namespace sluice::tool::bench
