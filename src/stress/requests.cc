// A program's requests to a space about memory, in a stress run: hints, leases, copies, discards,
// new ranges, queries. See stress/worker.hpp.
//
// A worker that holds a lease on a device touches no memory on the host: the page that it touched
// might be under the device lease of a worker that does the same with this worker's page, and both
// would wait forever.

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "sluice/soft_kernels_builtin.h"
#include "stress/worker.hpp"

namespace sluice::stress {
namespace {

constexpr std::size_t largest_own_range = 3 << 20;
constexpr std::size_t most_own_ranges = 12;  // mostly small ones, which share segments

}  // namespace

// --- hints ---------------------------------------------------------------------------------------

void Worker::prefetch() {
  const Slice part = any_part(1 << 20);
  show(part);
  const Result<Fence> fence = space_.prefetch(part.data(), part.size, any_location());
  if (went("prefetch", fence) && random_.chance(40)) wait(*fence);
  if (random_.chance(20)) check(part.part(0, std::min<std::size_t>(part.size, 64)));
}

void Worker::advise() {
  const Slice part = any_part(1 << 20);
  show(part);
  constexpr AdviceKind kinds[] = {AdviceKind::no_preference, AdviceKind::not_accessed_by,
                                  AdviceKind::read_mostly,   AdviceKind::not_read_mostly,
                                  AdviceKind::prefer,        AdviceKind::accessed_by};
  const AdviceKind kind = kinds[random_.below(std::size(kinds))];
  const bool of_device = kind == AdviceKind::accessed_by || kind == AdviceKind::not_accessed_by;
  const Location location =
      of_device ? Location::device(any_device().queue.device()) : any_location();
  went("advise", space_.advise(part.data(), part.size, kind, location));
}

// --- leases --------------------------------------------------------------------------------------

void Worker::lease() {
  if (!setting_.leases) return ask();
  const Slice part = any_part(64 << 10);
  show(part);
  // Memory that stays on the host cannot be leased elsewhere. Devices reach memory leased on the
  // host in place.
  const Location somewhere = any_location();
  const bool moves = part.home->range.kind() == Kind::shared;
  const Location location = moves ? somewhere : Location::host();
  const Access access = random_.chance(50) ? Access::read : Access::write;
  // A kernel of this worker that still runs would have to be waited for by the lease; that is tried
  // too.
  if (random_.chance(50)) wait_for_all();
  const Result<Lease> lease = space_.lease(part.data(), part.size, location, access);
  if (!went("lease", lease, {ErrorCode::busy, ErrorCode::out_of_device_memory})) return;
  if (location.is_device()) return hold_on_device(part, location.number(), access);
  // As a DMA engine would: the bytes must stay in place and unchanged.
  if (access == Access::write) {
    const Slice changed = random_part(part, 64, random_);
    std::memset(changed.data(), 0x5a, changed.size);
    std::memset(changed.shadow(), 0x5a, changed.size);
  }
  check(part);
  const auto where = space_.residency(part.data(), part.size);
  // A page not written since needs no copy to read as zeros.
  if (went("residency", where) && where->host + where->untouched < where->pages) {
    findings_.violation(fmt::format("of {} pages leased on the host only {} are there; {}",
                                    where->pages, where->host, context()));
  }
}

void Worker::hold_on_device(Slice part, int number, Access access) {
  Device& device = devices_[static_cast<std::size_t>(number)];
  if (access == Access::write) {
    const std::uint64_t seed = random_.next();
    Launch launch = device.queue.launch(device.mix);
    launch.writes(part.data(), part.size)
        .arguments(sluice_soft_mix{reinterpret_cast<std::uint8_t*>(part.data()), 1, seed, 1})
        .items(part.size);
    const Result<Fence> fence = launch.submit();
    if (went("launch on leased memory", fence,
             {ErrorCode::busy, ErrorCode::out_of_device_memory})) {
      mix(reinterpret_cast<std::uint8_t*>(part.shadow()), seed, part.size, 1, 1);
      wait(*fence);
    }
  }
  if (random_.chance(50)) press(device, part);
  // Room for others to try to move it.
  std::this_thread::sleep_for(std::chrono::microseconds(random_.below(300)));
  const auto where = space_.residency(part.data(), part.size);
  if (went("residency", where) && where->device[number] + where->untouched < where->pages) {
    findings_.violation(fmt::format("of {} pages leased on device {} only {} are there; {}",
                                    where->pages, number, where->device[number], context()));
  }
}

// Asks for as much memory as the device has, besides its leased memory: other memory has to leave
// it, and the leased memory must not.
void Worker::press(const Device& device, Slice leased) {
  const ModelRange& large = model_.largest_beside(leased);
  Launch launch = device.queue.launch(device.nothing);
  launch.reads(large.range.data(), large.range.size());
  const Result<Fence> fence = launch.submit();
  if (went("launch on a whole range", fence, {ErrorCode::busy, ErrorCode::out_of_device_memory}))
    wait(*fence);
}

// --- bytes ---------------------------------------------------------------------------------------

void Worker::discard() {
  const Slice part = any_part(128 << 10);
  show(part);
  if (part.home->range.kind() != Kind::shared)
    return;  // memory that never moves is never given up in part
  const Slice pages = part.whole_pages();
  if (!went("discard", space_.discard(part.data(), part.size), {ErrorCode::busy})) return;
  std::memset(pages.shadow(), 0, pages.size);
  check(part);
}

void Worker::copy() {
  Slice to = any_part(scratch_size);
  show(to);
  switch (random_.below(3)) {
    case 0: {  // out of managed memory
      if (went("copy out", space_.copy(scratch_.get(), to.data(), to.size)))
        check_against(to, scratch_.get());
      return;
    }
    case 1: {  // into it
      for (std::size_t i = 0; i < to.size; ++i)
        scratch_[i] = static_cast<std::byte>(random_.next());
      if (!went("copy in", space_.copy(to.data(), scratch_.get(), to.size))) return;
      std::memcpy(to.shadow(), scratch_.get(), to.size);
      break;
    }
    default: {  // within; the two may overlap
      Slice from = any_part(scratch_size);
      from.size = to.size = std::min(from.size, to.size);
      if (!went("copy", space_.copy(to.data(), from.data(), to.size))) return;
      std::memmove(to.shadow(), from.shadow(), to.size);
      break;
    }
  }
  if (random_.chance(40)) check(to);
}

// --- ranges --------------------------------------------------------------------------------------

void Worker::own_range() {
  if (own_ranges_.size() >= most_own_ranges || (!own_ranges_.empty() && random_.chance(40)))
    return give_up_a_range();
  const Kind kind = random_.chance(85) ? Kind::shared : Kind::host;
  // One size comes again and again, as those of programs do, so that pooled memory is used.
  const std::size_t size =
      random_.chance(30) ? block_size : random_.size_up_to(largest_own_range);
  Result<Range> range = space_.allocate(size, kind);
  if (!went("allocate", range)) return;
  const auto& home = own_ranges_.emplace_back(std::make_unique<ModelRange>(*std::move(range)));
  check(random_part({home.get(), 0, home->range.size()}, 16 << 10, random_));  // zeros
}

void Worker::give_up_a_range() {
  const std::unique_ptr<ModelRange> home = std::move(own_ranges_.front());
  own_ranges_.pop_front();
  check({home.get(), 0, home->range.size()});
  switch (random_.below(3)) {
    case 0:
      went("free", home->range.free());
      break;
    case 1:
      went("free_if_idle", home->range.free_if_idle(), {ErrorCode::busy});
      break;
    default:
      went("free by base", space_.free(home->range.release()));
      break;
  }
}

// Memory of a device alone: bytes in, a kernel, bytes out.
void Worker::device_range() {
  Device& device = any_device();
  const std::size_t size = random_.size_up_to(scratch_size);
  const Result<Range> range = space_.allocate_on_device(device.queue.device(), size);
  if (!went("allocate on a device", range, {ErrorCode::out_of_device_memory})) return;
  for (std::size_t i = 0; i < size; ++i) scratch_[i] = static_cast<std::byte>(random_.next());
  if (!went("copy to a device range", space_.copy(range->data(), scratch_.get(), size))) return;

  const std::uint64_t seed = random_.next();
  Launch launch = device.queue.launch(device.mix);
  launch.writes(*range)
      .arguments(sluice_soft_mix{reinterpret_cast<std::uint8_t*>(range->data()), 1, seed, 1})
      .items(size);
  const Result<Fence> fence = launch.submit();
  if (!went("launch on a device range", fence)) return;
  wait(*fence);
  mix(reinterpret_cast<std::uint8_t*>(scratch_.get()), seed, size, 1, 1);

  const std::unique_ptr<std::byte[]> got(new std::byte[size]);
  if (!went("copy from a device range", space_.copy(got.get(), range->data(), size))) return;
  progress_.bytes_checked.fetch_add(size, std::memory_order_relaxed);
  if (std::memcmp(got.get(), scratch_.get(), size) != 0) {
    findings_.more_wrong_bytes(1);
    findings_.violation(fmt::format("a range of {} bytes on device {} came back different; {}",
                                    size, device.queue.device(), context()));
  }
}

// --- questions -----------------------------------------------------------------------------------

void Worker::ask() {
  const Slice part = any_part(1 << 20);
  show(part);
  const auto info = space_.range_of(part.data());
  if (went("range_of", info) &&
      (info->base != part.home->range.data() || info->size != part.home->range.size())) {
    findings_.violation(
        fmt::format("range_of({}) names another range; {}", fmt::ptr(part.data()), context()));
  }
  went("residency", space_.residency(part.data()));
  went("attributes", space_.attributes(part.data()));
  if (random_.chance(10)) (void)space_.explain(part.data());
}

void Worker::synchronize() { went("synchronize", space_.synchronize()); }

}  // namespace sluice::stress
