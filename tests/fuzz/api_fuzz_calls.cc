// The calls: every function of sluice.h, with arguments that may be good, stale, foreign or
// nonsense.
#include <cstring>
#include <mutex>

#include "api_fuzz_world.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::fuzz {
namespace {

// A structure in memory of the size that it may claim, with bytes of its own beyond what it knows.
template <typename T>
class SizedRequest {
 public:
  explicit SizedRequest(Random& random, const T& value = {}) {
    std::memset(bytes_, 0, sizeof bytes_);
    std::memcpy(bytes_, &value, sizeof value);
    std::size_t size = sizeof value;
    if (random.one_in(10)) size = random.one_in(2) ? random.size() : random.below(4096);
    // A field that is cut, or a pointer with another byte, would be a caller's lie about its own
    // memory.
    if (size < sizeof value) size -= size % 8;
    if (random.one_in(20))
      bytes_[sizeof value + random.below(sizeof bytes_ - sizeof value)] = std::byte{1};
    std::memcpy(bytes_, &size, sizeof size);
    null_ = random.one_in(30);
  }
  T* get() { return null_ ? nullptr : reinterpret_cast<T*>(bytes_); }

 private:
  alignas(16) std::byte bytes_[8192];
  bool null_ = false;
};

template <typename T>
void replace(std::atomic<T>& slot, T made, void (*destroy)(T)) {
  destroy(slot.exchange(made));
}

void make_or_destroy_handles(Random& random) {
  World& world = random.world();
  switch (random.below(8)) {
    case 0:
    case 1: {
      sluice_queue* made = nullptr;
      if (sluice_queue_create(random.space(), random.device(),
                              random.one_in(20) ? nullptr : &made) == SLUICE_OK)
        replace(world.queues[random.place()], made, sluice_queue_destroy);
      break;
    }
    case 2: {
      sluice_pool* made = nullptr;
      if (sluice_pool_create(random.space(), random.enumerator<sluice_kind>(1), &made) == SLUICE_OK)
        replace(world.pools[random.place()], made, sluice_pool_destroy);
      break;
    }
    case 3: {
      Lent& lent = world.leases[random.place()];
      sluice_lease* made = nullptr;
      if (sluice_lease_begin(random.space(), random.address(), random.size(), random.device(),
                             random.enumerator<sluice_access>(1), &made) == SLUICE_OK) {
        lent.since = milliseconds_now();
        sluice_lease_end(lent.lease.exchange(made));
      }
      break;
    }
    case 4:
      sluice_queue_destroy(random.queue());
      break;
    case 5:
      sluice_lease_end(random.lease());
      break;
    case 6:
      if (random.one_in(8)) sluice_pool_destroy(random.pool());
      break;
    default:
      sluice_mapping_destroy(random.mapping());
  }
}

void allocate_or_free(Random& random) {
  World& world = random.world();
  void* made = nullptr;
  void** const out = random.one_in(20) ? nullptr : &made;
  const std::size_t size = random.one_in(8) ? random.size() : 1 + random.below(largest_range);
  const sluice_space* const space = random.space();
  sluice_status status = SLUICE_ERROR_BUSY;
  switch (random.below(8)) {
    case 0:
      status = sluice_allocate_on_device(space, random.device(), size, out);
      break;
    case 1: {
      std::int32_t devices[64];
      for (std::int32_t& device : devices) device = random.device();
      status = sluice_allocate_mapped(space, size, random.device(),
                                      random.one_in(10) ? nullptr : devices, random.count(),
                                      random.enumerator<sluice_access>(1), out);
      break;
    }
    case 2:
    case 3: {
      auto pages = random.enumerator<sluice_host_pages>(2);
      status = sluice_allocate(space, size, random.enumerator<sluice_kind>(1), pages, out);
      break;
    }
    case 4:
      (void)sluice_free_if_idle(space, random.base());
      return;
    case 5:
      (void)sluice_unmap_and_free(space, random.base());
      return;
    default:
      (void)sluice_free(space, random.base());
      return;
  }
  if (status != SLUICE_OK || made == nullptr) return;
  if (space == world.spaces[0].load()) world.home[random.place()] = made;
  void* const before = world.ranges[random.place()].exchange(made);
  if (before == nullptr) return;
  for (auto& slot : world.spaces)
    if (sluice_unmap_and_free(slot.load(), before) == SLUICE_OK) break;
}

void work_with_pieces(Random& random) {
  World& world = random.world();
  static constexpr std::size_t alignments[] = {1, 8, 64,      4096, std::size_t{1} << 22,
                                               0, 3, SIZE_MAX};
  const std::size_t alignment = alignments[random.below(8)];
  void* piece = nullptr;
  if (random.one_in(2)) {
    if (sluice_pool_allocate(random.pool(), random.size(), alignment, &piece) == SLUICE_OK)
      world.pieces[random.place()] = piece;
  } else {
    sluice_pool_free(random.pool(), random.one_in(3) ? random.address() : random.of(world.pieces),
                     random.size(), alignment);
  }
  (void)sluice_pool_held(random.pool());
}

void launch(Random& random) {
  World& world = random.world();
  if (random.one_in(4)) {
    sluice_kernel found{};
    const char* const name = random.text();
    if (sluice_kernel_find(random.space(), random.device(),
                           random.one_in(10) ? random.text() : nullptr, name, &found) == SLUICE_OK)
      world.kernels[random.place()] = found;
    return;
  }
  sluice_use uses[64];
  for (sluice_use& use : uses)
    use = {random.one_in(3) ? random.address() : random.of(world.ranges), 1 + random.below(8192),
           random.enumerator<sluice_access>(1)};
  sluice_fence fences[64];
  for (sluice_fence& fence : fences) fence = random.fence();
  union {
    sluice_soft_fill fill;
    sluice_soft_sleep sleep;
    std::uint64_t words[32];
  } arguments{};
  if (random.one_in(3))
    arguments.sleep = {random.below(1'000'000)};
  else
    arguments.fill = {static_cast<std::uint32_t*>(const_cast<void*>(uses[0].data)), 7};
  if (random.one_in(50)) arguments.words[random.below(32)] = random.bits();
  sluice_launch request{};
  request.kernel = random.kernel();
  request.arguments = random.one_in(20) ? nullptr : &arguments;
  request.argument_size = random.one_in(10) ? random.below(257) : sizeof arguments.fill;
  if (random.one_in(20)) request.argument_size = std::size_t{1} << (20 + random.below(44));
  request.items = random.one_in(30) ? random.below(1 << 20) : random.below(256);
  request.uses = random.one_in(20) ? nullptr : uses;
  request.use_count = random.count();
  request.after = random.one_in(20) ? nullptr : fences;
  request.after_count = random.one_in(3) ? random.count() : 0;
  request.every_shared_range =
      static_cast<sluice_every_shared_range>(random.one_in(20) ? random.below(5) : 0);
  SizedRequest<sluice_launch> sized(random, request);
  sluice_fence fence{};
  if (sluice_launch_submit(random.queue(), sized.get(), &fence) == SLUICE_OK)
    world.fences[random.place()] = fence;
}

// Refused: these devices have no streams.
void scope(Random& random) {
  sluice_use uses[64];
  for (sluice_use& use : uses)
    use = {random.address(), random.size(), random.enumerator<sluice_access>(1)};
  sluice_scope_request request{};
  request.uses = random.one_in(20) ? nullptr : uses;
  request.use_count = random.one_in(20) ? random.count() : 1;
  request.device = random.device();
  request.every_shared_range = random.enumerator<sluice_every_shared_range>(2);
  SizedRequest<sluice_scope_request> sized(random, request);
  sluice_scope* begun = nullptr;
  (void)sluice_scope_begin(random.space(), sized.get(), random.one_in(20) ? nullptr : &begun);
  (void)sluice_scope_end(begun, nullptr);
}

void wait(Random& random) {
  const auto on_signal = random.enumerator<sluice_on_signal>(1);
  const sluice_fence fence = random.fence();
  (void)sluice_fence_done(random.space(), fence);
  (void)sluice_fence_failed(random.space(), fence);
  switch (random.below(8)) {
    case 0:
      (void)sluice_synchronize(random.space(), random.timeout(), on_signal);
      break;
    case 1:
      (void)sluice_mapping_wait(random.mapping(), random.timeout(), on_signal);
      break;
    default:
      (void)sluice_fence_wait(random.space(), fence, random.timeout(), on_signal);
  }
}

// Two copies at once to the same bytes are a data race of the caller's, which ThreadSanitizer would
// report.
void copy(const sluice_space* space, void* to, const void* from, std::size_t size) {
#if defined(__SANITIZE_THREAD__)
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
#endif
  (void)sluice_copy(space, to, from, size);
}

void hint_or_move(Random& random) {
  World& world = random.world();
  const sluice_space* const space = random.space();
  switch (random.below(6)) {
    case 0: {
      sluice_fence fence{};
      if (sluice_prefetch(space, random.address(), random.size(), random.device(), &fence) ==
          SLUICE_OK)
        world.fences[random.place()] = fence;
      break;
    }
    case 1:
      (void)sluice_advise(space, random.address(), random.size(),
                          random.enumerator<sluice_advice>(5), random.device());
      break;
    case 2:
      (void)sluice_discard(space, random.address(), random.size());
      break;
    default: {
      // One side is plain memory as a rule, which must be there: a size beyond it only beside a
      // managed address.
      const bool both_plain = random.one_in(10);
      std::size_t size = both_plain ? random.below(largest_plain_copy) : random.size();
      if (size > largest_range) size |= std::size_t{1} << 62;  // larger than any range
      void* const managed = both_plain ? random.plain() : random.of(world.home);
      void* const other = random.one_in(3) && !both_plain ? random.of(world.home) : random.plain();
      if (managed == nullptr && size > largest_range) break;  // no range is there yet
      if (random.one_in(2))
        copy(space, managed, other, size);
      else
        copy(space, other, managed, size);
    }
  }
}

void map(Random& random) {
  World& world = random.world();
  sluice_part parts[64];
  for (sluice_part& part : parts)
    part = {random.one_in(3) ? random.address() : random.of(world.ranges), 1 + random.below(8192)};
  std::int32_t devices[64];
  for (std::int32_t& device : devices) device = random.device();
  sluice_mapping_request request{};
  request.parts = random.one_in(20) ? nullptr : parts;
  request.part_count = random.count();
  request.devices = random.one_in(20) ? nullptr : devices;
  request.device_count = random.one_in(4) ? random.count() : 1 + random.below(2);
  request.access = random.enumerator<sluice_access>(1);
  request.mode = random.enumerator<sluice_mapping_mode>(1);
  SizedRequest<sluice_mapping_request> sized(random, request);
  SizedRequest<sluice_mapping_report> report(random);
  const auto on_signal = random.enumerator<sluice_on_signal>(1);
  sluice_mapping* made = nullptr;
  switch (random.below(6)) {
    case 0:
      (void)sluice_map(random.space(), sized.get(), random.timeout(), on_signal, report.get());
      break;
    case 1:
      (void)sluice_unmap(random.space(), sized.get(), random.timeout(), on_signal, report.get());
      break;
    case 2:
      if (sluice_map_start(random.space(), sized.get(), random.timeout(), &made) == SLUICE_OK)
        replace(world.mappings[random.place()], made, sluice_mapping_destroy);
      break;
    case 3:
      if (sluice_unmap_start(random.space(), sized.get(), random.timeout(), &made) == SLUICE_OK)
        replace(world.mappings[random.place()], made, sluice_mapping_destroy);
      break;
    case 4:
      (void)sluice_mapping_resume(random.mapping(), random.timeout());
      break;
    default:
      if (random.one_in(4))
        (void)sluice_relocate(random.space(), random.base(), random.size(), random.device(),
                              report.get());
  }
}

void ask(Random& random) {
  const sluice_space* const space = random.space();
  void* const address = random.address();
  char* const text = random.one_in(10) ? nullptr : static_cast<char*>(random.plain());
  const std::size_t capacity = random.one_in(3) ? random.size() : random.below(64);
  switch (random.below(16)) {
    case 0:
      (void)sluice_range_of(space, address, SizedRequest<sluice_range_info>(random).get());
      break;
    case 1:
      (void)sluice_page_residency(space, address, SizedRequest<sluice_residency>(random).get());
      break;
    case 2:
      (void)sluice_count_residency(space, address, random.size(),
                                   SizedRequest<sluice_residency_summary>(random).get());
      break;
    case 3:
      (void)sluice_page_attributes(space, address, SizedRequest<sluice_attributes>(random).get());
      break;
    case 4:
      (void)sluice_explain(space, address, text, capacity);
      break;
    case 5:
      (void)sluice_device_get_info(space, random.device(),
                                   SizedRequest<sluice_device_info>(random).get());
      break;
    case 6:
      (void)sluice_space_get_status(space, SizedRequest<sluice_space_status>(random).get());
      break;
    case 7:
      (void)sluice_space_get_counters(space, SizedRequest<sluice_counters>(random).get());
      break;
    case 8:
      (void)sluice_mapping_get_report(random.mapping(),
                                      SizedRequest<sluice_mapping_report>(random).get());
      break;
    case 9:
      (void)sluice_mapping_why(random.mapping(), random.size(), text, capacity);
      break;
    case 10:
      (void)sluice_trace_overwritten(space);
      (void)sluice_trace_running(space);
      if (random.one_in(10)) sluice_trace_stop(space);
      break;
    case 11:
      if (random.one_in(10))
        (void)sluice_trace_start(space, random.one_in(3) ? random.size() : 256);
      break;
    case 12:
      if (random.one_in(10))
        (void)sluice_trace_print(space, random.enumerator<sluice_trace_format>(2), text, capacity);
      else
        (void)sluice_trace_events(space, static_cast<sluice_event*>(random.arena()),
                                  random.one_in(3) ? random.size() : random.below(64));
      break;
    case 13:
      (void)sluice_device_count(space);
      (void)sluice_last_error();
      (void)sluice_status_name(random.enumerator<sluice_status>(14));
      break;
    case 14:
      if (random.one_in(50)) (void)sluice_space_check(space, text, capacity);
      break;
    default:
      (void)sluice_version();
  }
}

void trouble_devices(Random& random) {
  World& world = random.world();
  switch (random.below(6)) {
    case 0:
    case 1:
      (void)sluice_device_reset(random.space(), random.device());
      break;
    case 2:
      kill_a_device(random);
      break;
    case 3: {
      // The second and the third space come and go; the first stays for those who need one that
      // works.
      auto& slot = world.spaces[1 + random.below(2)];
      if (random.one_in(6)) sluice_space_close(slot.exchange(open_space(random, random.one_in(2))));
      break;
    }
    default:
      (void)sluice_device_plan_faults(random.space(), random.device(),
                                      random.one_in(30) ? nullptr : random.plan());
  }
}

}  // namespace

void call(Random& random) {
  const std::uint64_t choice = random.below(1000);
  if (choice < 520)
    ask(random);
  else if (choice < 640)
    wait(random);
  else if (choice < 645)
    scope(random);
  else if (choice < 740)
    launch(random);
  else if (choice < 800)
    hint_or_move(random);
  else if (choice < 860)
    work_with_pieces(random);
  else if (choice < 920)
    make_or_destroy_handles(random);
  else if (choice < 970)
    allocate_or_free(random);
  else if (choice < 997)
    map(random);
  else
    trouble_devices(random);
  random.world().calls.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace sluice::fuzz
