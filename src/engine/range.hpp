// Range and Block: one allocation and its 2 MiB parts, as the engine keeps them.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "base/device_set.hpp"
#include "base/interval_map.hpp"
#include "base/ranked_mutex.hpp"
#include "base/types.hpp"
#include "device/device.hpp"
#include "directory/block_directory.hpp"
#include "engine/claim.hpp"
#include "engine/host_readers.hpp"
#include "engine/readiness.hpp"
#include "plan/eviction_order.hpp"
#include "plan/planner.hpp"
#include "sluice/advice.hpp"
#include "sluice/kind.hpp"
#include "sluice/options.hpp"

namespace sluice::engine {

// Times of launches that named a range or block. Written under the gate. Eviction reads them
// without it and may see a launch half noted: one block is then out of order for once.
class Stamps {
 public:
  void note(std::uint64_t launch) noexcept {
    const plan::Usage usage = read().after(launch);
    distance_.store(usage.distance, std::memory_order_relaxed);
    last_.store(usage.last, std::memory_order_relaxed);
  }
  [[nodiscard]] plan::Usage read() const noexcept {
    return {last_.load(std::memory_order_relaxed), distance_.load(std::memory_order_relaxed)};
  }

 private:
  std::atomic<std::uint64_t> last_{0};
  std::atomic<std::uint64_t> distance_{0};
};

// One device's share of a block, besides its entry in the directory.
struct DevicePart {
  int device = -1;
  device::Piece piece;   // of size 0: none
  bool in_host = false;  // the piece is host memory, for want of room (Device::allocate_in_host)
  bool reach_lasts =
      false;  // the device reaches the block in host memory for a lasting reason, not lack of room
  int lender = -1;           // the device that owns the memory; -1: this one
  DeviceSet old_mappings{};  // devices that map the piece still, from when it was theirs
  std::uint8_t books =
      0;  // plan::Evictable::books. Changed under the device's eviction lock and the block's mutex

  [[nodiscard]] int owner() const noexcept { return lender < 0 ? device : lender; }
};

// One lock, one directory. The directory and the parts change only under the claim and the mutex,
// so that the holder of the claim may read them without the mutex, and queries may read them with
// it.
class Block {
 public:
  Block(Address first_byte, std::uint32_t extent, directory::HostRights host) noexcept
      : begin(first_byte), directory(extent, host) {}

  const Address begin;
  ClaimWord claim;
  std::atomic<const void*> claimant{nullptr};  // the launch that holds the claim, if it is one
  RankedMutex mutex{LockRank::block, "block"};
  directory::BlockDirectory directory;
  std::vector<DevicePart> parts;

  BlockReadiness readiness;

  // Leases on the block, all at one location. Changed under the claim.
  std::uint32_t leases = 0;
  std::uint32_t writing_leases = 0;
  Location leased_at = Location::host();

  // Devices on which the block is mapped until a program unmaps it (mapping_run.cc). Changed under
  // the claim and the mutex. While there are any they count as one writing lease where the bytes
  // are.
  DeviceSet mapped_to_read;
  DeviceSet mapped_to_write;

  // Of Kind::device: its bytes are in host memory, where its owner reaches them too
  // (relocation_run.cc). Changed as mapped_to_read.
  bool away = false;

  Stamps stamps;                             // of launches that named it by itself
  std::atomic<std::uint64_t> prefetched{0};  // number of the last launch before it was; 0: never
  std::uint32_t host_accesses =
      0;  // accesses answered since bytes or rights were last taken. Changed under the claim
  std::atomic<bool> expected{
      false};  // a reader on the host was seen coming, or expected, since then

  // Changed under the claim: how often launches on alternating devices took all of the block to
  // write it, and how many launches of one device have since used it in a lender's memory.
  std::uint32_t hand_overs = 0;
  std::uint32_t borrowed_uses = 0;

  [[nodiscard]] bool is_mapped() const noexcept {
    return !(mapped_to_read | mapped_to_write).empty();
  }
  [[nodiscard]] Rights mapped_rights(int device) const noexcept {
    if (mapped_to_write.contains(device)) return Rights::write;
    return mapped_to_read.contains(device) ? Rights::read : Rights::none;
  }
  // Rights::none: it is no longer mapped there. `placement`: where the bytes are.
  void set_mapped(int device, Rights rights, Location placement) noexcept;

  [[nodiscard]] AddressSpan span() const noexcept {
    return {begin, directory.extent() * page_size};
  }
  [[nodiscard]] AddressSpan span_of(PageSpan pages) const noexcept {
    return {begin + pages.first * page_size, pages.count * page_size};
  }
  // The span from the first to the last of the pages.
  [[nodiscard]] AddressSpan hull_of(const PageMask& mask) const noexcept;
  // The block's pages that `span` touches, rounded outward.
  [[nodiscard]] PageMask pages_in(AddressSpan span) const noexcept;
  [[nodiscard]] DevicePart* part(int device) noexcept;
  [[nodiscard]] const DevicePart* part(int device) const noexcept;
  // The device has a new mapping there. Under the mutex.
  void forget_old_mapping(int device) noexcept;
  // Adds a device: its holding in the directory and its part. Allocates; never on a fault-handler
  // thread.
  void admit(int device);
};

class Range {
 public:
  Range(AddressSpan pages, std::size_t size, Kind kind, int device, HostPages host_pages);

  const AddressSpan pages;  // whole pages
  const std::size_t size;   // bytes asked for
  const Kind kind;
  const int device;  // Kind::device: its owner
  const HostPages host_pages;
  std::uint64_t number = 0;  // of all ranges that the table ever had; set when it enters
  std::deque<Block> blocks;  // fixed after construction

  // Holders of a pin keep the range alive. free() waits until the last is released.
  std::atomic<std::uint32_t> pins{0};
  Stamps stamps;  // of launches that named it as a whole

  // The time of its last choice or request to move away from its device: observe::now(); 0: never.
  std::atomic<std::uint64_t> relocated{0};

  // Mapping operations under way on any of it. free() refuses meanwhile.
  std::atomic<std::uint32_t> mapping_operations{0};

  RangeReadiness readiness;
  HostReaders readers;

  RankedMutex advice_mutex{LockRank::advice, "advice"};
  IntervalMap<Attributes> advice SLUICE_GUARDED_BY(advice_mutex);

  [[nodiscard]] std::size_t index_of(Address address) const noexcept {
    return (address - pages.begin) / block_size;
  }
  [[nodiscard]] Block& block_of(Address address) noexcept { return blocks[index_of(address)]; }
  [[nodiscard]] Attributes advice_at(Address address);
  // Rights or bytes of a block are taken from the host: its next host access starts a new history.
  // Call under the block's claim.
  void forget_host_accesses(Block& block) noexcept;
};

// Keeps a range alive.
class Pin {
 public:
  Pin() noexcept = default;
  explicit Pin(Range& range) noexcept : range_(&range) {
    range.pins.fetch_add(1, std::memory_order_acq_rel);
  }
  Pin(Pin&& other) noexcept : range_(std::exchange(other.range_, nullptr)) {}
  Pin& operator=(Pin&& other) noexcept {
    release();
    range_ = std::exchange(other.range_, nullptr);
    return *this;
  }
  ~Pin() { release(); }

  void release() noexcept {
    if (range_ != nullptr)
      std::exchange(range_, nullptr)->pins.fetch_sub(1, std::memory_order_acq_rel);
  }
  [[nodiscard]] Range* get() const noexcept { return range_; }
  Range* operator->() const noexcept { return range_; }
  Range& operator*() const noexcept { return *range_; }
  explicit operator bool() const noexcept { return range_ != nullptr; }

 private:
  Range* range_ = nullptr;
};

}  // namespace sluice::engine
