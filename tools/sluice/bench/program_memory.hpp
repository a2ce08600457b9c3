// ProgramMemory: the memory interface of the programs of `sluice bench cuda`, so that each program
// is written once and runs over Sluice, over managed memory with and without hints, and over copies
// written by hand.
//
// The program calls before_writing/after_writing around the host's set-up of an array,
// before_reading before the host reads results of kernels, and names in begin() the memory that the
// kernels until end() read and write. Each memory then acts as a programmer would: managed memory
// does nothing, hints prefetch, copies copy, Sluice opens a scope. All kernels go into one stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>

#include "bench/cuda_card.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {

// The use of an array by the host and kernels.
enum class Role {
  input,    // the host writes it, kernels read it, the host reads it again
  output,   // kernels write it, the host reads it; the host may have written it before
  scratch,  // for kernels alone
  word,     // of a few bytes: kernels write it, the host reads it, again and again
};

// An array has two addresses where host and GPU have memory of their own, and else one. Owned by
// its memory.
template <typename T>
struct Array {
  T* host = nullptr;
  T* card = nullptr;
  std::size_t count = 0;
  Role role = Role::scratch;
  [[nodiscard]] std::size_t size() const noexcept { return count * sizeof(T); }
};

struct ProgramUse {
  void* host;
  std::size_t size;
  bool writes;
};
template <typename T>
ProgramUse reads(const Array<T>& array) {
  return {array.host, array.size(), false};
}
template <typename T>
ProgramUse writes(const Array<T>& array) {
  return {array.host, array.size(), true};
}

class ProgramMemory {
 public:
  explicit ProgramMemory(const Card& card) : card_(card) {}
  ProgramMemory(const ProgramMemory&) = delete;
  ProgramMemory& operator=(const ProgramMemory&) = delete;
  virtual ~ProgramMemory() = default;

  template <typename T>
  [[nodiscard]] Array<T> array(std::size_t count, Role role) {
    const Addresses made = allocate(count * sizeof(T), role);
    return {reinterpret_cast<T*>(made.host), reinterpret_cast<T*>(made.card), count, role};
  }
  template <typename T>
  void before_writing(const Array<T>& array) {
    before_writing(bytes_of(array), array.role);
  }
  template <typename T>
  void after_writing(const Array<T>& array) {
    after_writing(bytes_of(array), array.role);
  }
  template <typename T>
  void before_reading(const Array<T>& array) {
    before_reading(bytes_of(array));
  }
  // The kernels that `body` launches use only this memory.
  template <typename Body>
  void on_card(std::initializer_list<ProgramUse> uses, Body&& body) {
    begin(uses);
    body();
    end();
  }
  template <typename Arguments>
  void launch(device::cuda::CUfunction kernel, Arguments arguments, std::uint64_t items) const {
    void* all[] = {&arguments, &items};
    card_.launch(kernel, all, items);
  }
  // Waits until all launched kernels have run.
  virtual void wait() = 0;
  // Frees all arrays, as a program does before it ends. They may not be used any more.
  virtual void free_arrays() = 0;

 protected:
  struct Addresses {
    std::byte* host;
    std::byte* card;
  };
  struct Bytes {
    Addresses at;
    std::size_t size;
  };
  virtual Addresses allocate(std::size_t size, Role role) = 0;
  virtual void before_writing(const Bytes& /*bytes*/, Role /*role*/) {}
  virtual void after_writing(const Bytes& /*bytes*/, Role /*role*/) {}
  virtual void before_reading(const Bytes& /*bytes*/) {}
  virtual void begin(std::initializer_list<ProgramUse> /*uses*/) {}
  virtual void end() {}

  const Card& card_;

 private:
  template <typename T>
  static Bytes bytes_of(const Array<T>& array) {
    return {{reinterpret_cast<std::byte*>(array.host), reinterpret_cast<std::byte*>(array.card)},
            array.size()};
  }
};

// The ways to hint managed memory.
enum class Hints {
  to_card,           // prefetched to the GPU
  both_ways,         // and to the host, before the host writes or reads
  copies_of_inputs,  // prefetched to the GPU, inputs read-mostly once they are written
};

// Arrays live as long as their memory, or until free_arrays().
[[nodiscard]] std::unique_ptr<ProgramMemory> managed_memory(const Card& card);
[[nodiscard]] std::unique_ptr<ProgramMemory> hinted_memory(const Card& card, Hints hints);
// Copies between pinned host memory and device memory.
[[nodiscard]] std::unique_ptr<ProgramMemory> copied_memory(const Card& card);
// Copies between memory from malloc and device memory.
[[nodiscard]] std::unique_ptr<ProgramMemory> pageable_memory(const Card& card);
// Over a space of its own, with the card's GPU as device 0.
[[nodiscard]] std::unique_ptr<ProgramMemory> sluice_memory(const Card& card, HostPages pages);

}  // namespace sluice::tool::bench
