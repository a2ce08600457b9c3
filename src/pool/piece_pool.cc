// The piece pool: size classes, runs of slabs, single ranges.
//
// Why not std::pmr::synchronized_pool_resource over ranges: it keeps its lists in the memory that
// it hands out. Freeing a piece in a page on a device would then move the page to the host, and a
// kernel that may write it would delay the free.
//
// Cost: allocating or freeing a small piece takes about 30 ns uncontended; a run looks at one word
// per chunk. Records take 17 KiB for each chunk of 2 MiB. Powers of two waste up to half of a
// piece. What it does not do: move pieces together, or give memory of slabs back before their whole
// chunk is empty. One empty chunk is kept, so that a program at the edge of a chunk does not
// allocate a range at every step.
#include "pool/piece_pool.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

namespace sluice {
namespace {

constexpr std::size_t bytes_of_class(std::size_t size_class) {
  return PiecePool::smallest_piece << size_class;
}

constexpr std::size_t class_of(std::size_t size) {
  const std::size_t rounded = std::bit_ceil(std::max(size, PiecePool::smallest_piece));
  return static_cast<std::size_t>(std::countr_zero(rounded) -
                                  std::countr_zero(PiecePool::smallest_piece));
}

constexpr std::uint32_t run_mask(std::size_t first, std::size_t count) {
  return static_cast<std::uint32_t>(((std::uint64_t{1} << count) - 1) << first);
}

}  // namespace

PiecePool::PiecePool(std::unique_ptr<RangeSource> source) noexcept : source_(std::move(source)) {}

PiecePool::~PiecePool() {
  for (const auto& [base, chunk] : chunks_) source_->give_back(chunk->base);
  for (const auto& [piece, single] : singles_) source_->give_back(single.base);
}

Result<void*> PiecePool::allocate(std::size_t size, std::size_t alignment) {
  assert(std::has_single_bit(alignment));
  SLUICE_TRY(check_process());
  const Place place = place_of(size, alignment);
  if (place.where == Place::Where::single) return allocate_single(place.amount, alignment);
  while (true) {
    {
      const MutexLock lock(mutex_);
      if (void* piece = try_allocate(place); piece != nullptr) return piece;
    }
    SLUICE_TRY(add_chunk());  // another thread may take all of it before this one looks again
  }
}

Result<void> PiecePool::free(void* piece, std::size_t size, std::size_t alignment) noexcept {
  SLUICE_TRY(check_process());
  const Place place = place_of(size, alignment);
  const std::byte* const address = static_cast<std::byte*>(piece);
  std::byte* unused = nullptr;
  {
    const MutexLock lock(mutex_);
    const bool freed = place.where == Place::Where::single
                           ? free_single(address, place.amount, unused)
                           : free_in_chunk(address, place, unused);
    if (!freed)
      return fail(ErrorCode::invalid_argument,
                  "%p is no piece of this pool with %zu bytes, aligned to %zu", piece, size,
                  alignment);
  }
  // May wait for a kernel, so not under the lock.
  if (unused != nullptr) source_->give_back(unused);
  return {};
}

Result<void> PiecePool::check_process() const {
  if (!process_.inherited()) return {};
  return fail(ErrorCode::unsupported,
              "this pool belongs to the process that made it; a forked child has no part in it");
}

std::size_t PiecePool::held() const noexcept {
  if (process_.inherited()) return 0;
  const MutexLock lock(mutex_);
  return held_;
}

PiecePool::Place PiecePool::place_of(std::size_t size, std::size_t alignment) const noexcept {
  const std::size_t needed = std::max({size, alignment, std::size_t{1}});
  if (needed <= largest_in_slab) return {Place::Where::slab, class_of(needed)};
  if (size <= largest_in_chunk && alignment <= slab_size) {
    return {Place::Where::run, (std::max(size, std::size_t{1}) + slab_size - 1) / slab_size};
  }
  return {Place::Where::single, std::max(size, std::size_t{1})};
}

Result<void*> PiecePool::allocate_single(std::size_t size, std::size_t alignment) {
  const std::size_t slack = alignment > source_->alignment_of(size) ? alignment - 1 : 0;
  std::size_t whole = 0;
  if (__builtin_add_overflow(size, slack, &whole)) {
    return fail(ErrorCode::out_of_host_memory,
                "%zu bytes aligned to %zu are more than an address can count", size, alignment);
  }
  // Its record first: nothing may be thrown once there is a range.
  Singles record;
  record.emplace(nullptr, Single{});
  SLUICE_ASSIGN(base, source_->take(whole));
  const auto number = reinterpret_cast<std::uintptr_t>(base);
  std::byte* const piece = base + (((number + slack) & ~std::uintptr_t{slack}) - number);
  auto node = record.extract(record.begin());
  node.key() = piece;
  node.mapped() = Single{base, size, whole};
  const MutexLock lock(mutex_);
  singles_.insert(std::move(node));
  held_ += whole;
  return piece;
}

void* PiecePool::try_allocate(Place place) {
  return place.where == Place::Where::slab ? take_piece(place.amount) : take_run(place.amount);
}

void* PiecePool::take_piece(std::size_t size_class) {
  const std::size_t size = bytes_of_class(size_class);
  Slab* slab = with_room_[size_class];
  if (slab == nullptr) {
    std::byte* const fresh = take_run(1);
    if (fresh == nullptr) return nullptr;
    Chunk& chunk = *chunk_of(fresh);
    slab = &chunk.slabs[static_cast<std::size_t>(fresh - chunk.base) / slab_size];
    chunk.runs[static_cast<std::size_t>(fresh - chunk.base) / slab_size] = 0;  // a slab, no run
    slab->chunk = &chunk;
    slab->size_class = size_class;
    link(*slab, size_class);
  }
  const auto word =
      std::find_if(slab->taken.begin(), slab->taken.end(), [](std::uint64_t w) { return ~w != 0; });
  const int bit = std::countr_one(*word);
  *word |= std::uint64_t{1} << bit;
  if (++slab->used == slab_size / size) unlink(*slab, size_class);
  const std::size_t slab_number = static_cast<std::size_t>(slab - slab->chunk->slabs.data());
  const std::size_t piece_number =
      static_cast<std::size_t>(word - slab->taken.begin()) * 64 + static_cast<std::size_t>(bit);
  return slab->chunk->base + slab_number * slab_size + piece_number * size;
}

std::byte* PiecePool::take_run(std::size_t slabs) {
  for (const auto& [base, chunk] : chunks_) {
    // Bit n of `starts` stays set while slabs n, n + 1, ... are free.
    std::uint32_t starts = ~chunk->taken;
    for (std::size_t i = 1; i < slabs && starts != 0; ++i) starts &= ~chunk->taken >> i;
    if (starts == 0) continue;
    const auto first = static_cast<std::size_t>(std::countr_zero(starts));
    if (chunk->taken == 0) --empty_chunks_;
    chunk->taken |= run_mask(first, slabs);
    chunk->runs[first] = static_cast<std::uint8_t>(slabs);
    return chunk->base + first * slab_size;
  }
  return nullptr;
}

Result<void> PiecePool::add_chunk() {
  Chunks record;
  record.emplace(nullptr, std::make_unique<Chunk>());
  SLUICE_ASSIGN(base, source_->take(chunk_size));
  auto node = record.extract(record.begin());
  node.key() = base;
  node.mapped()->base = base;
  const MutexLock lock(mutex_);
  chunks_.insert(std::move(node));
  ++empty_chunks_;
  held_ += chunk_size;
  return {};
}

bool PiecePool::free_single(const std::byte* piece, std::size_t size, std::byte*& unused) noexcept {
  const auto single = singles_.find(piece);
  if (single == singles_.end() || single->second.asked != size) return false;
  unused = single->second.base;
  held_ -= single->second.size;
  singles_.erase(single);
  return true;
}

bool PiecePool::free_in_chunk(const std::byte* piece, Place place, std::byte*& unused) noexcept {
  Chunk* const chunk = chunk_of(piece);
  if (chunk == nullptr) return false;
  const auto offset = static_cast<std::size_t>(piece - chunk->base);
  const bool freed = place.where == Place::Where::slab ? free_piece(*chunk, offset, place.amount)
                                                       : free_run(*chunk, offset, place.amount);
  if (freed && chunk->taken == 0) unused = retire_if_spare(*chunk);
  return freed;
}

bool PiecePool::free_run(Chunk& chunk, std::size_t offset, std::size_t slabs) noexcept {
  const std::size_t first = offset / slab_size;
  if (offset % slab_size != 0 || chunk.runs[first] != slabs) return false;
  chunk.taken &= ~run_mask(first, slabs);
  chunk.runs[first] = 0;
  return true;
}

bool PiecePool::free_piece(Chunk& chunk, std::size_t offset, std::size_t size_class) noexcept {
  const std::size_t slab_number = offset / slab_size;
  const std::size_t piece_number = offset % slab_size / bytes_of_class(size_class);
  Slab& slab = chunk.slabs[slab_number];
  const std::uint64_t bit = std::uint64_t{1} << (piece_number % 64);
  if (slab.used == 0 || slab.size_class != size_class || offset % bytes_of_class(size_class) != 0 ||
      (slab.taken[piece_number / 64] & bit) == 0)
    return false;
  slab.taken[piece_number / 64] &= ~bit;
  if (slab.used-- == slab_size / bytes_of_class(size_class)) link(slab, size_class);
  if (slab.used == 0) {
    unlink(slab, size_class);
    chunk.taken &= ~run_mask(slab_number, 1);
  }
  return true;
}

PiecePool::Chunk* PiecePool::chunk_of(const std::byte* piece) noexcept {
  const auto above = chunks_.upper_bound(piece);
  if (above == chunks_.begin()) return nullptr;
  Chunk& chunk = *std::prev(above)->second;
  return piece < chunk.base + chunk_size ? &chunk : nullptr;
}

// The base of the chunk, if it was one empty chunk too many and has been removed.
std::byte* PiecePool::retire_if_spare(Chunk& chunk) noexcept {
  if (empty_chunks_ == 0) {
    ++empty_chunks_;
    return nullptr;
  }
  std::byte* const base = chunk.base;
  held_ -= chunk_size;
  chunks_.erase(base);
  return base;
}

void PiecePool::link(Slab& slab, std::size_t size_class) noexcept {
  slab.previous = nullptr;
  slab.next = with_room_[size_class];
  if (slab.next != nullptr) slab.next->previous = &slab;
  with_room_[size_class] = &slab;
}

void PiecePool::unlink(Slab& slab, std::size_t size_class) noexcept {
  if (slab.next != nullptr) slab.next->previous = slab.previous;
  if (slab.previous != nullptr)
    slab.previous->next = slab.next;
  else
    with_room_[size_class] = slab.next;
}

}  // namespace sluice
