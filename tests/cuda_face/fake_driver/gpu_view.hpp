// What a kernel or a copy engine sees: addresses, and nothing but what the table maps there now.
//
// Each access looks whether the table has changed since the last one, so a mapping that leaves
// under a running kernel is noticed by its next access, as on a card. A card may be lucky, if there
// is none; here finish() notices that too.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "cuda_face/fake_driver/memory.hpp"
#include "cuda_face/fake_driver/settings.hpp"

namespace sluice::fake_cuda {

class GpuView {
 public:
  // `lost`: the work is to be given up when this is an error.
  GpuView(int gpu, const std::atomic<CUresult>& lost) noexcept : gpu_(gpu), lost_(lost) {}

  [[nodiscard]] bool may_go_on() const noexcept { return lost_ == device::cuda::success; }

  template <typename T>
  [[nodiscard]] T load(const T* place) {
    return __atomic_load_n(at(place, sizeof(T), false), __ATOMIC_RELAXED);
  }
  template <typename T>
  void store(T* place, T value) {
    __atomic_store_n(at(place, sizeof(T), true), value, __ATOMIC_RELAXED);
  }
  template <typename T>
  void add(T* place, T value) {
    __atomic_fetch_add(at(place, sizeof(T), true), value, __ATOMIC_RELAXED);
  }
  [[nodiscard]] float load(const float* place) {
    float value = 0;
    std::memcpy(&value, at(place, sizeof value, false), sizeof value);
    return value;
  }
  void store(float* place, float value) {
    std::memcpy(at(place, sizeof value, true), &value, sizeof value);
  }

  // Calls act(bytes, size) for the pieces of a span, in order.
  template <typename Act>
  void for_pieces(CUdeviceptr begin, std::size_t size, bool is_write, const Act& act) {
    constexpr std::size_t piece = 4096;
    while (size != 0) {
      std::byte* const bytes = at(begin, is_write);
      const std::size_t left = last_[is_write].mapping->end() - begin;
      const std::size_t part = std::min<std::size_t>({size, piece, left});
      act(bytes, part);
      begin += part;
      size -= part;
    }
  }

  // At the end of the work: throws if something that it used was taken away meanwhile.
  void finish() const {
    for (const auto& [mapping, use] : used_)
      if (mapping->is_gone || !allows(*mapping, use.wrote) || mapping->gaps != use.gaps)
        throw AccessFault{mapping->begin, use.wrote};
  }

 private:
  struct Found {
    MappingPointer mapping;
    std::uint64_t generation = 0;
  };
  struct Use {
    bool wrote;
    int gaps;  // at the first access
  };

  [[nodiscard]] bool allows(const Mapping& mapping, bool is_write) const noexcept {
    const int access = mapping.access[static_cast<std::size_t>(gpu_)];
    return is_write ? access == access_read_write : access != access_none;
  }
  template <typename T>
  [[nodiscard]] T* at(T* place, std::size_t size, bool is_write) {
    const auto address = reinterpret_cast<CUdeviceptr>(place);
    auto* const bytes = at(address, is_write);
    const CUdeviceptr end = last_[is_write].mapping->end();
    if (address + size > end) throw AccessFault{end, is_write};
    return reinterpret_cast<T*>(bytes);
  }
  [[nodiscard]] std::byte* at(CUdeviceptr address, bool is_write) {
    const std::uint64_t generation = AddressTable::get().generation();
    Found& last = last_[is_write];
    if (last.mapping == nullptr || generation != last.generation ||
        address - last.mapping->begin >= last.mapping->size)
      look(address, is_write, generation);
    return last.mapping->memory->bytes() + (address - last.mapping->begin);
  }
  void look(CUdeviceptr address, bool is_write, std::uint64_t generation) {
    MappingPointer found = AddressTable::get().at(address);
    if (found == nullptr || !allows(*found, is_write)) throw AccessFault{address, is_write};
    Use& use = used_.try_emplace(found, Use{is_write, found->gaps}).first->second;
    if (found->gaps != use.gaps) throw AccessFault{address, is_write};
    use.wrote |= is_write;
    last_[is_write] = {std::move(found), generation};
  }

  const int gpu_;
  const std::atomic<CUresult>& lost_;
  std::array<Found, 2> last_;  // of loads, of stores
  std::map<MappingPointer, Use> used_;
};

}  // namespace sluice::fake_cuda
