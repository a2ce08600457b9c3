// PiecePool: pieces of memory cut from larger ranges. MemoryResource and the C pools are built on
// it.
//
// Layout: chunks of 2 MiB, each 32 slabs of 64 KiB. A piece of up to 32 KiB lies in a slab of its
// size class (powers of two from 16 bytes); one of up to 1 MiB takes a run of whole slabs; anything
// larger, or aligned to more than a slab, is a range of its own. So pieces of different sizes never
// share a slab, and a piece is aligned to its own size, up to 64 KiB.
//
// The pool never touches the pieces: its records lie in ordinary memory, so allocating and freeing
// moves no page.
//
// Thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "base/ranked_mutex.hpp"
#include "base/result.hpp"
#include "base/thread_annotations.hpp"
#include "os/fork_guard.hpp"

namespace sluice {

// The source of ranges. Called without a lock held, by several threads at once.
class RangeSource {
 public:
  virtual ~RangeSource() = default;
  // At least `size` bytes, aligned as alignment_of() says.
  [[nodiscard]] virtual Result<std::byte*> take(std::size_t size) = 0;
  virtual void give_back(std::byte* base) noexcept = 0;
  // The alignment of bases for this size: PiecePool::slab_size, or less if no piece needs more.
  [[nodiscard]] virtual std::size_t alignment_of(std::size_t size) const noexcept = 0;
};

class PiecePool {
 public:
  static constexpr std::size_t slab_size = std::size_t{64} << 10;
  static constexpr std::size_t slabs_per_chunk = 32;
  static constexpr std::size_t chunk_size = slab_size * slabs_per_chunk;
  static constexpr std::size_t smallest_piece = 16;
  static constexpr std::size_t largest_in_slab = slab_size / 2;
  static constexpr std::size_t largest_in_chunk = chunk_size / 2;

  explicit PiecePool(std::unique_ptr<RangeSource> source) noexcept;
  PiecePool(const PiecePool&) = delete;
  PiecePool& operator=(const PiecePool&) = delete;
  // Gives everything back, pieces in use too.
  ~PiecePool();

  // `alignment`: a power of two. A size of 0 counts as 1.
  //   out_of_host_memory  and any other error of the source
  //   unsupported         in a forked child
  [[nodiscard]] Result<void*> allocate(std::size_t size, std::size_t alignment);
  // `size` and `alignment` as given to allocate().
  //   invalid_argument  no piece of this pool with them; nothing is freed
  //   unsupported       in a forked child
  Result<void> free(void* piece, std::size_t size, std::size_t alignment) noexcept;

  // Bytes of the ranges held now; 0 in a forked child.
  [[nodiscard]] std::size_t held() const noexcept;

 private:
  static constexpr std::size_t classes = 12;  // 16, 32, ..., 32768 bytes
  static constexpr std::size_t words = slab_size / smallest_piece / 64;

  struct Chunk;
  // One slab of a size class.
  struct Slab {
    Chunk* chunk = nullptr;
    Slab* next = nullptr;  // in the list of its class's slabs that have room
    Slab* previous = nullptr;
    std::uint32_t used = 0;
    std::size_t size_class = 0;                // counts while `used` is not 0
    std::array<std::uint64_t, words> taken{};  // bit n: piece n
  };
  struct Chunk {
    std::byte* base = nullptr;
    std::uint32_t taken = 0;  // bit n: slab n
    std::array<Slab, slabs_per_chunk> slabs;
    std::array<std::uint8_t, slabs_per_chunk> runs{};  // slabs of the run that begins there
  };
  // A range for a single piece.
  struct Single {
    std::byte* base = nullptr;
    std::size_t asked = 0;  // bytes that were asked for
    std::size_t size = 0;   // bytes of the range
  };
  using Chunks = std::map<const std::byte*, std::unique_ptr<Chunk>>;
  using Singles = std::map<const std::byte*, Single>;
  // The place for a piece of some size and alignment.
  struct Place {
    enum class Where : std::uint8_t { slab, run, single } where;
    std::size_t amount;  // the size class; how many slabs; how many bytes
  };

  [[nodiscard]] Place place_of(std::size_t size, std::size_t alignment) const noexcept;
  [[nodiscard]] Result<void*> allocate_single(std::size_t size, std::size_t alignment);
  [[nodiscard]] void* try_allocate(Place place) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] void* take_piece(std::size_t size_class) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] std::byte* take_run(std::size_t slabs) SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Result<void> add_chunk();
  // False: there is no such piece. `unused`: a range that the pool needs no more.
  [[nodiscard]] bool free_single(const std::byte* piece, std::size_t size,
                                 std::byte*& unused) noexcept SLUICE_REQUIRES(mutex_);
  [[nodiscard]] bool free_in_chunk(const std::byte* piece, Place place, std::byte*& unused) noexcept
      SLUICE_REQUIRES(mutex_);
  [[nodiscard]] bool free_piece(Chunk& chunk, std::size_t offset, std::size_t size_class) noexcept
      SLUICE_REQUIRES(mutex_);
  [[nodiscard]] bool free_run(Chunk& chunk, std::size_t offset, std::size_t slabs) noexcept
      SLUICE_REQUIRES(mutex_);
  [[nodiscard]] Chunk* chunk_of(const std::byte* piece) noexcept SLUICE_REQUIRES(mutex_);
  [[nodiscard]] std::byte* retire_if_spare(Chunk& chunk) noexcept SLUICE_REQUIRES(mutex_);
  void link(Slab& slab, std::size_t size_class) noexcept SLUICE_REQUIRES(mutex_);
  void unlink(Slab& slab, std::size_t size_class) noexcept SLUICE_REQUIRES(mutex_);

  // unsupported: in a forked child, where a thread that does not exist may hold the mutex.
  [[nodiscard]] Result<void> check_process() const;

  const os::ProcessMark process_;
  const std::unique_ptr<RangeSource> source_;
  // A leaf: the source, and with it the engine, is never called while it is held.
  mutable RankedMutex mutex_{LockRank::pieces, "pieces"};
  Chunks chunks_ SLUICE_GUARDED_BY(mutex_);    // by base
  Singles singles_ SLUICE_GUARDED_BY(mutex_);  // by piece
  std::array<Slab*, classes> with_room_ SLUICE_GUARDED_BY(mutex_){};
  std::size_t empty_chunks_ SLUICE_GUARDED_BY(mutex_) = 0;
  std::size_t held_ SLUICE_GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice
