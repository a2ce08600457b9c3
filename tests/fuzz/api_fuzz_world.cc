// Random values, and the beginning and the end of a world.
#include "api_fuzz_world.hpp"

#include <signal.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "device_processes.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::fuzz {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t block = std::size_t{2} << 20;

const std::string& long_text() {
  static const std::string text(5000, 'x');
  return text;
}

}  // namespace

std::uint64_t milliseconds_now() noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

Random::Random(World& world, std::uint64_t seed) : world_(world), engine_(seed) {
  void* const arena = ::mmap(nullptr, arena_size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) {
    std::perror("api_fuzz: memory of a thread");
    std::abort();
  }
  arena_ = static_cast<std::byte*>(arena);
}

Random::~Random() { ::munmap(arena_, arena_size); }

void* Random::address() {
  const auto base = reinterpret_cast<std::uintptr_t>(of(world_.ranges));
  switch (below(12)) {
    case 0:
      return nullptr;
    case 1:
      return reinterpret_cast<void*>(bits());
    case 2:
      return reinterpret_cast<void*>(base - 1 - below(page));
    case 3:
      return reinterpret_cast<void*>(base + (std::uintptr_t{1} << below(40)));
    case 4:
      return plain();
    case 5:
    case 6:
      return reinterpret_cast<void*>(base + below(3) * block + below(2 * page));
    default:
      return reinterpret_cast<void*>(base + below(page));
  }
}

std::size_t Random::size() {
  switch (below(12)) {
    case 0:
      return 0;
    case 1:
      return SIZE_MAX - below(2 * page);
    case 2:
      return std::size_t{1} << below(64);
    case 3:
      return bits();
    case 4:
      return block - 1 + below(3);
    case 5:
      return below(largest_range);
    default:
      return 1 + below(2 * page);
  }
}

std::size_t Random::count() {
  switch (below(10)) {
    case 0:
      return 0;
    case 1:
      return SIZE_MAX - below(3);
    case 2:
      return std::size_t{1} << (21 + below(43));
    case 3:
      return 1 + below(64);
    default:
      return 1 + below(3);
  }
}

int Random::device() {
  if (one_in(10)) return static_cast<int>(bits());
  return static_cast<int>(below(4)) - (one_in(4) ? 1 : 0);
}

std::int64_t Random::timeout() {
  switch (below(8)) {
    case 0:
      return 0;
    case 1:
      return static_cast<std::int64_t>(below(2'000'000));
    default:
      return static_cast<std::int64_t>(below(20'000));
  }
}

sluice_fence Random::fence() {
  sluice_fence fence = of(world_.fences);
  if (one_in(6)) fence.value = bits() >> below(64);
  if (one_in(12)) fence.timeline = static_cast<std::uint32_t>(bits());
  if (one_in(12)) fence.device = static_cast<std::int32_t>(bits());
  return fence;
}

sluice_kernel Random::kernel() {
  sluice_kernel kernel = of(world_.kernels);
  if (one_in(10)) kernel.id = bits() >> below(64);
  if (one_in(20)) kernel.space = static_cast<std::uint32_t>(bits());
  if (one_in(20)) kernel.device = device();
  return kernel;
}

const char* Random::text() {
  static constexpr const char* names[] = {"fill",      "nothing",  "sleep",  "copy",
                                          "mix",       "store",    "",       "./no-such-module.so",
                                          "/dev/null", "\xff\xfe", "fill\n", "%s%n%s"};
  if (one_in(12)) return long_text().c_str();
  if (one_in(16)) return nullptr;
  return names[below(std::size(names))];
}

const char* Random::plan() {
  static constexpr const char* plans[] = {
      "",
      "step=copy every=3 action=fail",
      "step=map every=5 action=fail",
      "step=launch every=4 action=fail",
      "step=allocate every=2 action=fail",
      "step=fence every=2 action=interrupt",
      "step=room every=3 action=fail",
      "step=kernel nth=1 action=kill",
      "step=copy nth=2 action=kill",
      "step=stop action=fail",
      "step=launch action=launch",
      "device=99999999999999999999 step=copy action=fail",
      "step=copy nth=-1 action=fail",
      "=;=;=",
  };
  if (world_.hangs && one_in(8)) return "step=copy nth=3 action=hang";
  if (one_in(10)) return long_text().c_str();
  return plans[below(std::size(plans))];
}

// --- the beginning and the end of a world --------------------------------------------------------

sluice_space* open_space(Random& random, bool tame) {
  alignas(16) std::array<std::byte, 8192> memory{};
  sluice_space_options options{};
  options.size = sizeof options;
  options.device_count = 1 + static_cast<std::int32_t>(random.below(2));
  options.device_memory = std::size_t{8} << 20;
  options.address_space = std::size_t{1} << 34;
  options.kernel_timeout = 300'000'000;
  options.transfer_timeout = 500'000'000;
  options.stop_interval = 1'000'000;
  options.recoverable_fault_devices =
      random.below(4) == 0 ? std::uint64_t{1} << (options.device_count - 1) : 0;
  if (random.one_in(2)) options.device_budget = std::size_t{4} << 20;
  options.best_grade = static_cast<sluice_grade>(random.below(5));
  if (options.best_grade == SLUICE_GRADE_NONE) options.best_grade = SLUICE_GRADE_FULL;
  options.overflow = static_cast<sluice_overflow>(random.below(2));
  if (!tame) {
    for (int changes = 1 + static_cast<int>(random.below(3)); changes > 0; --changes) {
      const std::size_t word = random.below(sizeof options / 8);
      // No pointer to nowhere, and no NVIDIA GPU.
      if (word == offsetof(sluice_space_options, fault_plan) / 8 ||
          word == offsetof(sluice_space_options, devices) / 8 ||
          word == offsetof(sluice_space_options, cuda_gpus) / 8)
        continue;
      const std::uint64_t wild =
          random.one_in(3) ? random.below(4) : random.bits() >> random.below(64);
      std::memcpy(reinterpret_cast<std::byte*>(&options) + word * 8, &wild, 8);
    }
    if (options.device_count > 2) options.device_count = 65 + options.device_count % 100;
    if (options.handler_threads > 4) options.handler_threads = 1000;
    if (random.one_in(4)) options.fault_plan = random.plan();
  }
  // Devices one by one, now and then with options that are none.
  static constexpr sluice_device_request devices[] = {
      {"software",
       "memory_size=8M,recoverable_faults=yes,kernel_timeout=300ms,transfer_timeout=500ms"},
      {"software", "memory_size=8M,kernel_timeout=300ms,transfer_timeout=500ms"},
      {"software", "memory_size=8M,memory_size=8M"},
      {"software", "=,,"},
      {nullptr, nullptr},
      {"", "memory_size=18446744073709551616T"},
  };
  if (random.one_in(6)) {
    options.device_count = 0;
    options.device_memory = options.recoverable_fault_devices = 0;
    options.kernel_timeout = options.transfer_timeout = 0;
    options.fault_plan = nullptr;
    const std::size_t first = tame ? 0 : random.below(std::size(devices));
    options.devices = &devices[first];
    options.devices_count = tame ? 2 : 1 + random.below(std::size(devices) - first);
  }
  std::memcpy(memory.data(), &options, sizeof options);
  sluice_space* space = nullptr;
  return sluice_space_open(reinterpret_cast<sluice_space_options*>(memory.data()), &space) ==
                 SLUICE_OK
             ? space
             : nullptr;
}

void end_old_leases(World& world, std::uint64_t age) {
  const std::uint64_t now = milliseconds_now();
  for (Lent& lent : world.leases)
    if (now - lent.since.load() >= age) sluice_lease_end(lent.lease.exchange(nullptr));
}

bool tear_down(World& world) {
  bool kept = true;
  for (Lent& lent : world.leases) sluice_lease_end(lent.lease.exchange(nullptr));
  for (auto& mapping : world.mappings) sluice_mapping_destroy(mapping.exchange(nullptr));
  for (auto& queue : world.queues) sluice_queue_destroy(queue.exchange(nullptr));
  for (auto& pool : world.pools) sluice_pool_destroy(pool.exchange(nullptr));
  for (auto& slot : world.spaces) {
    sluice_space* const space = slot.exchange(nullptr);
    std::array<char, 512> text{};
    if (sluice_space_check(space, text.data(), text.size()) != 0) {
      std::fprintf(stderr, "api_fuzz: the directory is wrong: %s\n", text.data());
      kept = false;
    }
    // It still works.
    void* base = nullptr;
    std::uint64_t word = 42;
    std::uint64_t found = 0;
    sluice_space_status status{};
    status.size = sizeof status;
    if (sluice_space_get_status(space, &status) == SLUICE_OK && status.grade != SLUICE_GRADE_NONE) {
      const sluice_status allocated =
          sluice_allocate(space, 8, SLUICE_KIND_SHARED, SLUICE_PAGES_SMALL, &base);
      // A small space, or a small budget, may be full.
      if (allocated == SLUICE_ERROR_OUT_OF_HOST_MEMORY) {
        sluice_space_close(space);
        continue;
      }
      const bool works = allocated == SLUICE_OK &&
                         sluice_copy(space, base, &word, sizeof word) == SLUICE_OK &&
                         sluice_copy(space, &found, base, sizeof found) == SLUICE_OK &&
                         found == word && *static_cast<volatile std::uint64_t*>(base) == word &&
                         sluice_free(space, base) == SLUICE_OK;
      if (!works) {
        std::fprintf(stderr, "api_fuzz: a space no longer works: %s, found %llu\n",
                     sluice_last_error(), static_cast<unsigned long long>(found));
        kept = false;
      }
    }
    sluice_space_close(space);
  }
  for (auto& range : world.ranges) range = nullptr;
  for (auto& range : world.home) range = nullptr;
  for (auto& piece : world.pieces) piece = nullptr;
  return kept;
}

void kill_a_device(Random& random) {
  const std::vector<pid_t> found = device_processes();
  if (!found.empty()) ::kill(found[random.below(found.size())], SIGKILL);
}

}  // namespace sluice::fuzz
