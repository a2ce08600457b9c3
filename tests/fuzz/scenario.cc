// The scenario: software GPUs, a shared range, memory of a device; launches, prefetches, copies,
// leases, mappings, a pool, a trace.
//
// A call that fails and is forgiven is made once more: a refused call has changed nothing, and the
// space must work.
#include "scenario.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "sluice/soft_kernels_builtin.h"

namespace sluice::fuzz {
namespace {

constexpr std::size_t count = std::size_t{3} << 18;  // words: a block and a half
constexpr std::size_t bytes = count * sizeof(std::uint32_t);
// A wait that takes longer never ends.
constexpr std::int64_t patience = 60'000'000'000;

std::array<std::uint32_t, count>& plain() {
  static std::array<std::uint32_t, count> words;
  return words;
}

}  // namespace

// Makes the call; makes it again if it was forgiven.
#define SCENARIO_CALL(call)                                           \
  do {                                                                \
    const sluice_status first_ = (call);                              \
    if (first_ == SLUICE_OK) break;                                   \
    if (!judge(#call, first_)) return false;                          \
    const sluice_status second_ = (call);                             \
    if (second_ != SLUICE_OK && !judge(#call, second_)) return false; \
    if (second_ != SLUICE_OK) {                                       \
      std::fprintf(stderr, "twice: %s\n", #call);                     \
      return false;                                                   \
    }                                                                 \
  } while (false)

bool Scenario::run() {
  const bool done = use();
  close();
  return done;
}

bool Scenario::use() {
  sluice_space_options options{};
  options.size = sizeof options;
  options.device_count = setup_.devices;
  options.best_grade = setup_.grade;
  options.strict = setup_.strict ? SLUICE_STRICT_STOP : SLUICE_STRICT_OFF;
  if (setup_.recoverable)
    options.recoverable_fault_devices = ~std::uint64_t{0} >> (64 - setup_.devices);
  options.device_memory = std::size_t{8} << 20;
  options.address_space = std::size_t{1} << 34;
  options.stop_interval = 1'000'000;
  SCENARIO_CALL(sluice_space_open(&options, &space_));
  opened();
  SCENARIO_CALL(sluice_trace_start(space_, 256));
  SCENARIO_CALL(sluice_queue_create(space_, 0, &queue_));
  void* shared = nullptr;
  void* on_device = nullptr;
  SCENARIO_CALL(
      sluice_allocate(space_, bytes, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &shared));
  SCENARIO_CALL(sluice_allocate_on_device(space_, 1, std::size_t{2} << 20, &on_device));
  auto* const words = static_cast<std::uint32_t*>(shared);
  words[0] = 1;
  const sluice_soft_fill fill = {words, 7};
  if (!launch("fill", &fill, sizeof fill, words, count) || !expect(words, 7)) return false;
  if (!move(words, on_device) || !map(words) || !relocate() || !pool_and_trace()) return false;
  SCENARIO_CALL(sluice_free(space_, on_device));
  SCENARIO_CALL(sluice_free(space_, shared));
  std::array<char, 256> broken{};
  if (sluice_space_check(space_, broken.data(), broken.size()) == 0) return true;
  std::fprintf(stderr, "the directory is wrong: %s\n", broken.data());
  wrong_bytes_ = true;
  return false;
}

bool Scenario::launch(const char* name, const void* arguments, std::size_t size,
                      std::uint32_t* words, std::uint64_t items) {
  sluice_kernel kernel{};
  SCENARIO_CALL(sluice_kernel_find(space_, 0, nullptr, name, &kernel));
  std::array<sluice_use, 10> uses;  // more than fit a launch in place
  uses.fill({words, bytes, SLUICE_ACCESS_WRITE});
  sluice_launch request{};
  request.size = sizeof request;
  request.kernel = kernel;
  request.arguments = arguments;
  request.argument_size = size;
  request.items = items;
  request.uses = uses.data();
  request.use_count = uses.size();
  sluice_fence fence{};
  SCENARIO_CALL(sluice_launch_submit(queue_, &request, &fence));
  SCENARIO_CALL(sluice_fence_wait(space_, fence, patience, SLUICE_ON_SIGNAL_KEEP_WAITING));
  return true;
}

bool Scenario::move(std::uint32_t* words, void* on_device) {
  sluice_fence fence{};
  SCENARIO_CALL(sluice_prefetch(space_, words, bytes, 1, &fence));
  SCENARIO_CALL(sluice_fence_wait(space_, fence, patience, SLUICE_ON_SIGNAL_KEEP_WAITING));
  SCENARIO_CALL(sluice_advise(space_, words, bytes, SLUICE_ADVICE_READ_MOSTLY, SLUICE_HOST));
  SCENARIO_CALL(sluice_advise(space_, words, bytes, SLUICE_ADVICE_NOT_READ_MOSTLY, SLUICE_HOST));
  const std::size_t some = std::size_t{1} << 20;
  SCENARIO_CALL(sluice_copy(space_, on_device, words, some));
  SCENARIO_CALL(sluice_copy(space_, plain().data(), on_device, some));
  if (plain()[0] != 7 || plain()[(some / 4) - 1] != 7) {
    std::fprintf(stderr, "wrong bytes: %u after a copy\n", plain()[0]);
    wrong_bytes_ = true;
    return false;
  }
  for (const int where : {1, static_cast<int>(SLUICE_HOST)}) {
    sluice_lease* lease = nullptr;
    SCENARIO_CALL(sluice_lease_begin(space_, words, bytes, where, SLUICE_ACCESS_WRITE, &lease));
    sluice_lease_end(lease);
  }
  // Nothing is leased any more, on the block borders or anywhere.
  SCENARIO_CALL(sluice_discard(space_, words, std::size_t{1} << 20));
  if (words[0] != 0 || words[count - 1] != 7) {
    std::fprintf(stderr, "wrong bytes: %u, %u after discarding\n", words[0], words[count - 1]);
    wrong_bytes_ = true;
    return false;
  }
  return true;
}

bool Scenario::map(std::uint32_t* words) {
  std::fill(words, words + count, 9U);
  const sluice_part part = {words, bytes};
  const std::array<std::int32_t, 2> devices = {0, 1};
  sluice_mapping_request request{};
  request.size = sizeof request;
  request.parts = &part;
  request.part_count = 1;
  request.devices = devices.data();
  request.device_count = devices.size();
  request.access = SLUICE_ACCESS_WRITE;
  SCENARIO_CALL(sluice_map(space_, &request, patience, SLUICE_ON_SIGNAL_KEEP_WAITING, nullptr));
  const sluice_soft_fill fill = {words, 11};
  if (!launch("fill", &fill, sizeof fill, words, count)) return false;
  sluice_mapping* mapping = nullptr;
  SCENARIO_CALL(sluice_unmap_start(space_, &request, patience, &mapping));
  // An operation that failed stays so until it is resumed.
  const sluice_status ended = sluice_mapping_wait(mapping, patience, SLUICE_ON_SIGNAL_KEEP_WAITING);
  if (ended != SLUICE_OK) {
    if (!judge("sluice_mapping_wait", ended)) return false;
    SCENARIO_CALL(sluice_mapping_resume(mapping, patience));
    SCENARIO_CALL(sluice_mapping_wait(mapping, patience, SLUICE_ON_SIGNAL_KEEP_WAITING));
  }
  sluice_mapping_destroy(mapping);
  return expect(words, 11);
}

// Memory of one device that another maps goes to the host and back.
bool Scenario::relocate() {
  const std::int32_t mapped_on = 1;
  void* moving = nullptr;
  SCENARIO_CALL(
      sluice_allocate_mapped(space_, bytes, 0, &mapped_on, 1, SLUICE_ACCESS_WRITE, &moving));
  plain().fill(13);
  SCENARIO_CALL(sluice_copy(space_, moving, plain().data(), bytes));
  plain().fill(0);
  for (const int to : {static_cast<int>(SLUICE_HOST), 0})
    SCENARIO_CALL(sluice_relocate(space_, moving, bytes, to, nullptr));
  SCENARIO_CALL(sluice_copy(space_, plain().data(), moving, bytes));
  SCENARIO_CALL(sluice_unmap_and_free(space_, moving));
  return expect(plain().data(), 13);
}

bool Scenario::pool_and_trace() {
  sluice_pool* pool = nullptr;
  SCENARIO_CALL(sluice_pool_create(space_, SLUICE_KIND_SHARED, &pool));
  for (const std::size_t size : {std::size_t{64}, std::size_t{3} << 20}) {
    void* piece = nullptr;
    const auto allocate = [&] { return sluice_pool_allocate(pool, size, 64, &piece); };
    SCENARIO_CALL(allocate());
    std::memset(piece, 1, size);
    sluice_pool_free(pool, piece, size, 64);
  }
  sluice_pool_destroy(pool);
  std::array<char, 4096> text{};
  (void)sluice_trace_print(space_, SLUICE_TRACE_TEXT, text.data(), text.size());
  (void)sluice_explain(space_, plain().data(), text.data(), text.size());
  sluice_space_status status{};
  status.size = sizeof status;
  SCENARIO_CALL(sluice_space_get_status(space_, &status));
  SCENARIO_CALL(sluice_synchronize(space_, patience, SLUICE_ON_SIGNAL_KEEP_WAITING));
  return true;
}

bool Scenario::expect(const std::uint32_t* words, std::uint32_t value) {
  const volatile std::uint32_t* const seen = words;
  for (std::size_t i = 0; i < count; i += 509) {
    if (seen[i] == value) continue;
    std::fprintf(stderr, "wrong bytes: word %zu is %u and not %u\n", i, seen[i], value);
    wrong_bytes_ = true;
    return false;
  }
  return true;
}

void Scenario::close() {
  sluice_queue_destroy(queue_);
  queue_ = nullptr;
  sluice_space_close(space_);
  space_ = nullptr;
}

}  // namespace sluice::fuzz
