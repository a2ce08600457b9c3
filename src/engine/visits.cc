// A visit costs two copies of its pages over the link, some system calls, and its duration.
#include "engine/visits.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "transfer/transfer.hpp"

namespace sluice::engine {
namespace {

using namespace std::chrono_literals;

// As short as a thread needs that is waiting to be woken; on a busy machine, and if it comes back
// again and again, it may need more.
constexpr auto shortest = 20us;
constexpr auto longer = 100us;
constexpr std::uint32_t many_alike = 16;
constexpr std::size_t short_run = 8;  // bytes: a word, which may be a flag
constexpr std::uint32_t first_pages = 1;

// The first byte at or behind `at` of which a and b differ (or are the same), or `size`.
std::size_t next(const std::byte* a, const std::byte* b, std::size_t at, std::size_t size,
                 bool differs) noexcept {
  constexpr std::size_t step = 64;
  if (differs)
    while (at + step <= size && std::memcmp(a + at, b + at, step) == 0) at += step;
  while (at < size && (a[at] != b[at]) != differs) ++at;
  return at;
}

}  // namespace

void Visits::allow() {
  if (are_allowed()) return;
  twin_ = std::unique_ptr<std::byte[]>(new std::byte[block_size]);
  allowed_.store(true, std::memory_order_release);
}

bool Visits::make(const fault::AccessFault& access, fault::FaultSource& source) noexcept {
  const Pin range = parts_.ranges.find(access.address);
  if (!range || range->kind != Kind::shared) return false;
  Block& block = range->block_of(access.address);
  const Claim claim = Claim::attempt(block.claim);
  if (!claim) return false;
  block.claim.assert_held();
  const BlockState& state = block.state();
  const std::uint32_t page = block.page_at(access.address);
  const LocationSet holders = state.directory.holders(page);
  if (holders.size() != 1 || holders.has_host() || state.leases().any()) return false;
  const int device = DeviceSet(holders).first();
  const DevicePart& part = *state.part(device);

  // The pages around that the device has alone, as they are on the host: whole blocks if large.
  const PageMask alone = state.directory.only_on(Location::device(device));
  const PageMask wanted =
      parts_.mover.widen(block, PageMask(window_for(block, page)), range->host_pages);
  PageSpan pages{page, 1};
  (wanted & alone).for_each_run([&](PageSpan run) {
    if (run.first <= page && page < run.end()) pages = run;
  });
  if (range->host_pages == HostPages::huge && PageMask(pages) != block.every_page()) return false;

  if (!parts_.readiness.withdraw(*range, block)) return false;
  const Visit visit{
      *range,
      block,
      {Location::device(part.owner()), part.allocation.handle, pages.first * page_size},
      block.span_of(pages),
      access.access};
  turns_.fetch_add(1, std::memory_order_acq_rel);
  alike_ = visit.span == last_ ? alike_ + 1 : 0;
  const bool made = run(visit, source);
  turns_.fetch_add(1, std::memory_order_release);
  parts_.readiness.refresh(*range, block);
  last_ = visit.span;
  return made;
}

PageSpan Visits::window_for(const Block& block, std::uint32_t page) const noexcept {
  const Address address = block.begin + page * page_size;
  const std::size_t most = block.extent() - page;
  std::size_t pages = first_pages;
  if (last_.contains(address)) pages = last_.size / page_size;  // it ended too early
  if (last_.size != 0 && address == last_.end()) pages = 2 * last_.size / page_size;
  return {page, static_cast<std::uint32_t>(std::min(pages, most))};
}

bool Visits::run(const Visit& visit, fault::FaultSource& source) noexcept {
  transfer::Transfer transfer(parts_.devices, parts_.timelines);
  const device::Place here = device::Place::host(visit.span.begin);
  Result<void> shown = transfer.copy({visit.there, here, visit.span.size});
  if (const auto finished = transfer.finish(); !finished) shown = finished;
  const bool stores = visit.access == Access::write;
  const std::byte* const bytes = parts_.memory.alias(visit.span.begin);
  if (shown && stores) std::memcpy(twin_.get(), bytes, visit.span.size);
  if (shown) shown = source.grant(visit.span, visit.access);
  if (!shown) return false;
  source.wake(visit.span);
  stay();
  // Bytes that are no more those of the device must not stay visible.
  while (!source.revoke(visit.span)) std::this_thread::sleep_for(1ms);
  if (stores) put_back(visit);
  return true;
}

void Visits::stay() const noexcept {
  const auto until = device::Clock::now() + (alike_ < many_alike ? shortest : longer);
  while (device::Clock::now() < until) std::this_thread::yield();
}

void Visits::await_end() const noexcept {
  const std::uint32_t turn = turns_.load(std::memory_order_acquire);
  if (turn % 2 == 0) return;
  while (turns_.load(std::memory_order_acquire) == turn) std::this_thread::yield();
}

void Visits::put_back(const Visit& visit) noexcept {
  put_runs(visit, true);
  put_runs(visit, false);
}

// A device that fails meanwhile is lost, and its bytes with it.
void Visits::put_runs(const Visit& visit, bool long_ones) noexcept {
  transfer::Transfer transfer(parts_.devices, parts_.timelines);
  const std::byte* const now = parts_.memory.alias(visit.span.begin);
  const std::byte* const before = twin_.get();
  const std::size_t size = visit.span.size;
  for (std::size_t begin = next(now, before, 0, size, true); begin < size;) {
    const std::size_t end = next(now, before, begin, size, false);
    if ((end - begin > short_run) == long_ones) {
      device::Place to = visit.there;
      to.offset += begin;
      (void)transfer.copy({device::Place::host(visit.span.begin + begin), to, end - begin});
    }
    begin = next(now, before, end, size, true);
  }
  (void)transfer.finish();
}

}  // namespace sluice::engine
