// Room: who may have how much of each device's memory, and who leaves when it is short.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/gate.hpp"
#include "engine/range_table.hpp"
#include "engine/stages.hpp"

namespace sluice::engine {

// A block that is to have a piece of a device's memory. The caller holds its claim.
struct Wanting {
  Range* range = nullptr;
  Block* block = nullptr;
};

struct Provided {
  std::size_t count = 0;  // of the blocks asked for, in order, how many have a piece now
  std::optional<ActiveUse> obstacle;  // a kernel whose end would make more room
  bool contended = false;             // somebody else is busy with blocks that could leave
};

class Room {
 public:
  // How often a caller waits for others that are busy with blocks that could leave, before it takes memory to be full, and how
  // long each time. They are busy for a copy or two.
  static constexpr int patience = 10'000;
  static constexpr std::chrono::microseconds moment{100};

  Room(const transfer::Devices& devices, std::vector<std::size_t> budgets, RangeTable& ranges,
       Gate& gate, Stages& stages, observe::Observer& observer, const plan::Abilities& abilities);

  // Gives the blocks pieces on the device, evicting others in the order of their last use. Blocks that have one keep it.
  // `claimant`: the launch that holds the claims of the blocks, if it is one; what it holds itself is not contended.
  [[nodiscard]] Result<Provided> provide(int device, std::span<const Wanting> blocks,
                                         const void* claimant = nullptr);
  // One piece, from free memory only. For Kind::device, and where nothing may be evicted. out_of_device_memory if there is none.
  [[nodiscard]] Result<device::Piece> take(int device, Address at, std::size_t size);
  void give_back(int device, device::Piece piece) noexcept;
  // A block's piece goes back; the device holds nothing of the block and does not map it.
  void release(Block& block, int device) noexcept;
  // A piece that went with its lost device. Each for itself: ranges that are being freed give theirs back on their own.
  void forget(DevicePart& part) noexcept;

  // For want of room: a piece in host memory, which the budget does not count. On devices that overflow to the host.
  [[nodiscard]] Result<void> overflow(int device, Block& block);
  // Frees what the blocks have there, as far as the budget has room for them now and no kernel uses it. Their bytes go to the host.
  [[nodiscard]] Result<void> end_overflow(int device, std::span<const Wanting> blocks);

  // Moves what the device used often enough in memory that others lent, into its own, as far as that has room and no kernel uses it.
  [[nodiscard]] Result<void> settle(int device, std::span<const Wanting> blocks);

  // Bytes that a piece for the block takes.
  [[nodiscard]] std::size_t piece_size(int device, const Block& block) const noexcept;
  [[nodiscard]] std::size_t budget(int device) const noexcept {
    return budgets_[static_cast<std::size_t>(device)];
  }
  [[nodiscard]] std::size_t in_use(int device) const noexcept {
    return charged_[static_cast<std::size_t>(device)];
  }

  // Empties a device of blocks whose claims the caller holds: what only it has goes to the host, and the pieces are free.
  [[nodiscard]] Result<void> evict(int device, std::span<const Wanting> blocks);

 private:
  struct Leaving {
    Pin range;
    Block* block;
    int holder;  // the device that has its memory, or borrowed it
  };
  // A block on its way from borrowed memory.
  struct Settling {
    Wanting wanting;
    device::Piece piece;
  };

  [[nodiscard]] bool give_piece(int device, Block& block);
  [[nodiscard]] Result<void> settle_block(int device, const Settling& settled);
  [[nodiscard]] Result<std::size_t> make_room(int device, std::size_t need, const void* claimant,
                                              Provided& provided);
  [[nodiscard]] std::vector<Leaving> candidates(int device, std::vector<plan::Candidate>& order);
  [[nodiscard]] Claim claim_leaving(int device, Leaving& leaving, const void* claimant,
                                    Provided& provided);

  const transfer::Devices& devices_;
  const std::vector<std::size_t> budgets_;
  std::unique_ptr<std::atomic<std::size_t>[]>
      charged_;  // bytes of pieces handed out, by device; never above the budget
  RangeTable& ranges_;
  Gate& gate_;
  Stages& stages_;
  observe::Observer& observer_;
  const plan::Abilities& abilities_;
};

}  // namespace sluice::engine
