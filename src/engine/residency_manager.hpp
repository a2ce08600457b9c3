// ResidencyManager: shares out each device's memory, and chooses which blocks leave when it is
// short.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/by_device.hpp"
#include "engine/contention.hpp"
#include "engine/range_table.hpp"
#include "engine/readiness_tracker.hpp"
#include "engine/stages.hpp"
#include "plan/eviction_order.hpp"

namespace sluice::engine {

// A block that is to have an allocation of a device's memory. The caller holds its claim.
struct AllocationRequest {
  Range* range = nullptr;
  Block* block = nullptr;

  [[nodiscard]] const BlockState& state() const noexcept {
    block->claim.assert_held();
    return block->state();
  }
};

// The launch that asks for room, if it is one.
struct RoomRequest {
  const void* claimant = nullptr;  // claims that it holds itself are not contention
  std::vector<AddressSpan>
      named{};  // these make room for the rest of the launch when nothing else can
};

struct Provision {
  std::size_t count = 0;  // of the blocks asked for, in order, how many have an allocation now
  std::optional<ActiveUse> obstacle{};  // a kernel that must end to make more room
  bool contended = false;               // another thread is busy with evictable blocks
  std::optional<Error>
      refusal{};  // of the next allocation, by the device, or because others were faster
};

class ResidencyManager {
 public:
  ResidencyManager(const transfer::Devices& devices, const ByDevice<std::size_t>& budgets,
                   RangeTable& ranges, ReadinessTracker& readiness, Stages& stages,
                   observe::Observer& observer, const plan::Abilities& abilities,
                   const std::atomic<std::uint64_t>& launches);

  // Is called where memory is short, before anything is evicted; true if freed ranges have given
  // theirs back since. It takes no claim of a live range. Set it before the first request.
  void use(std::function<bool()> reclaim) { reclaim_ = std::move(reclaim); }

  // Gives the blocks allocations on the device, evicting others in the order that has done best
  // there lately (plan::EvictionOrder). Blocks that have one keep it. The caller holds the claims
  // of the blocks.
  [[nodiscard]] Result<Provision> provide(int device, std::span<const AllocationRequest> blocks,
                                          RoomRequest room_request = {});
  // Explains why provide() gave too few.
  [[nodiscard]] Error shortage(int device, const Provision& provision) const noexcept;
  // Returns a block's allocation; the device holds nothing of the block and does not map it.
  void release(Block& block, int device) noexcept SLUICE_REQUIRES(block.claim);
  // Drops an allocation that went with its lost device. One by one: ranges that are being freed
  // return theirs on their own. Under the mutex of the allocation's block, and its claim.
  void forget(DevicePart& part) noexcept;

  // For want of room, gives an allocation in host memory, which the budget does not count. For
  // devices that overflow to the host.
  [[nodiscard]] Result<void> overflow(int device, Block& block) SLUICE_REQUIRES(block.claim);
  // Frees the blocks' host allocations, as far as the budget has room for them now and no kernel
  // uses them. Their bytes go to the host.
  [[nodiscard]] Result<void> end_overflow(int device, std::span<const AllocationRequest> blocks);

  // Moves bytes that the device used often enough in borrowed memory into its own, as far as that
  // has room and no kernel uses them.
  [[nodiscard]] Result<void> settle(int device, std::span<const AllocationRequest> blocks);

  // Bytes that an allocation for the block takes.
  [[nodiscard]] std::size_t allocation_size(int device, const Block& block) const noexcept;
  [[nodiscard]] std::size_t budget(int device) const noexcept { return budgets_[device]; }
  [[nodiscard]] std::size_t in_use(int device) const noexcept { return charged_[device]; }

  // Empties a device of blocks: bytes that only it has go to the host, and the allocations are
  // free. The caller holds the blocks' claims.
  [[nodiscard]] Result<void> evict(int device, std::span<const AllocationRequest> blocks);
  // The record of the device's orders of eviction.
  [[nodiscard]] plan::EvictionOrder order(int device) const;

 private:
  struct EvictionCandidate {
    Range* range;
    Block* block;
    int holder;  // the device that has its memory, or borrowed it
    std::uint8_t ghost_lists;
    bool named;  // by the request
  };
  // All blocks that are on a device, or would be by one of its orders. `blocks` are told apart by
  // their index into `standing`.
  struct Survey {
    std::vector<Pin> ranges;
    std::vector<EvictionCandidate> standing;
    std::vector<plan::Evictable> blocks;
  };
  // While an allocation changes hands, its bytes are counted, but no block that could leave has it.
  // A caller that finds memory full must know that no allocation changed hands meanwhile: that as
  // many changes have begun by the end as had ended at the start.
  struct Changes {
    std::atomic<std::uint64_t> begun{0};
    std::atomic<std::uint64_t> ended{0};
  };
  class Change {
   public:
    explicit Change(Changes& changes) noexcept : changes_(changes) { ++changes_.begun; }
    ~Change() {
      ++changes_.ended;
      contention::announce();
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    Changes& changes_;
  };
  struct OrderRecord {
    mutable RankedMutex mutex{LockRank::eviction, "eviction"};
    plan::EvictionOrder order SLUICE_GUARDED_BY(mutex);
  };

  // A block on its way from borrowed memory.
  struct Settlement {
    AllocationRequest request;
    device::Allocation allocation;
  };

  // Takes one allocation, from free memory only. out_of_device_memory if there is none.
  [[nodiscard]] Result<device::Allocation> take(int device, Address at, std::size_t size);
  void give_back(int device, device::Allocation allocation) noexcept;
  // Returns false if there is no free memory. Increments `own` if it began a change.
  [[nodiscard]] bool give_allocation(int device, Block& block, Provision& provision,
                                     std::uint64_t& own) SLUICE_REQUIRES(block.claim);
  // The kernel that must end before the device's mapping of the block may.
  [[nodiscard]] std::optional<ActiveUse> find_user(Range& range, Block& block, int device)
      SLUICE_REQUIRES(block.claim);
  [[nodiscard]] Result<void> settle_block(int device, const Settlement& settled);
  [[nodiscard]] Result<std::size_t> make_room(int device, std::size_t need,
                                              const RoomRequest& room_request,
                                              Provision& provision);
  void survey(int device, const RoomRequest& room_request, Survey& all) const;
  [[nodiscard]] plan::EvictionOrder look(int device, const RoomRequest& room_request, Survey& all);
  [[nodiscard]] Claim claim_leaving(int device, const EvictionCandidate& leaving,
                                    const RoomRequest& room_request, Provision& provision);

  std::function<bool()> reclaim_;
  const transfer::Devices& devices_;
  const ByDevice<std::size_t> budgets_;
  // Bytes of allocations handed out; never above the budget.
  ByDevice<std::atomic<std::size_t>> charged_;
  ByDevice<Changes> changes_;
  RangeTable& ranges_;
  ReadinessTracker& readiness_;
  Stages& stages_;
  observe::Observer& observer_;
  const plan::Abilities& abilities_;
  const std::atomic<std::uint64_t>& launches_;  // how many there were
  ByDevice<OrderRecord> orders_;
};

}  // namespace sluice::engine
