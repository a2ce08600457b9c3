// Memory is anonymous, counted for each GPU. Registered host memory of a file gets a view of its
// own, which no change of the program's view disturbs: a GPU reaches pinned pages, and asks no page
// table of the host's.
//
// What it does not do: keep the pages of registered memory in their place when the program punches
// a hole into the file.
#include "cuda_face/fake_driver/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

#include "cuda_face/fake_driver/settings.hpp"

namespace sluice::fake_cuda {
namespace {

constexpr int garbage = 0xcd;
std::array<std::atomic<std::size_t>, most_gpus> used{};

std::byte* bytes_at(CUdeviceptr address) {
  return reinterpret_cast<std::byte*>(address);  // NOLINT(performance-no-int-to-ptr)
}

std::int64_t now() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

}  // namespace

std::shared_ptr<Memory> Memory::make(int gpu, std::size_t size) {
  if (gpu >= 0 && (used[static_cast<std::size_t>(gpu)] += size) > settings().memory) {
    used[static_cast<std::size_t>(gpu)] -= size;
    return nullptr;
  }
  void* const made = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (made == MAP_FAILED) {
    if (gpu >= 0) used[static_cast<std::size_t>(gpu)] -= size;
    return nullptr;
  }
  // New memory holds what others left there.
  if (size <= granularity) std::memset(made, garbage, size);
  return std::shared_ptr<Memory>(new Memory(static_cast<std::byte*>(made), size, gpu, true));
}

std::shared_ptr<Memory> Memory::of_host(void* address, std::size_t size) {
  // With an old size of zero the same pages are mapped once more, without what watches the first
  // view. Private memory refuses it.
  void* const twin = mremap(address, 0, size, MREMAP_MAYMOVE);
  const bool is_own = twin != MAP_FAILED;
  void* const bytes = is_own ? twin : address;
  if (madvise(bytes, size, MADV_POPULATE_WRITE) != 0) {
    if (is_own) munmap(twin, size);
    return nullptr;
  }
  return std::shared_ptr<Memory>(new Memory(static_cast<std::byte*>(bytes), size, -1, is_own));
}

Memory::~Memory() {
  if (is_own_) munmap(bytes_, size_);
  if (gpu_ >= 0) used[static_cast<std::size_t>(gpu_)] -= size_;
}

std::size_t Memory::in_use(int gpu) noexcept { return used[static_cast<std::size_t>(gpu)]; }

// Never destroyed: threads of streams outlive main().
AddressTable& AddressTable::get() {
  static AddressTable& table = *new AddressTable;
  return table;
}

bool AddressTable::add(const MappingPointer& mapping) {
  const std::unique_lock lock(mutex_);
  const auto after = mappings_.lower_bound(mapping->begin);
  if (after != mappings_.end() && after->first < mapping->end()) return false;
  if (after != mappings_.begin() && std::prev(after)->second->end() > mapping->begin) return false;
  mapping->number = ++last_number_;
  mappings_.emplace_hint(after, mapping->begin, mapping);
  change();
  return true;
}

MappingPointer AddressTable::at(CUdeviceptr address) const { return first_in(address, 1); }

MappingPointer AddressTable::first_in(CUdeviceptr begin, std::size_t size) const {
  const std::shared_lock lock(mutex_);
  const auto after = mappings_.upper_bound(begin);
  if (after != mappings_.begin() && std::prev(after)->second->end() > begin)
    return std::prev(after)->second;
  return after != mappings_.end() && after->first < begin + size ? after->second : nullptr;
}

bool AddressTable::is_whole(CUdeviceptr begin, std::size_t size, Source source) const {
  const std::shared_lock lock(mutex_);
  CUdeviceptr at = begin;
  for (auto found = mappings_.find(begin); at < begin + size; ++found) {
    if (found == mappings_.end() || found->first != at || found->second->source != source)
      return false;
    at = found->second->end();
  }
  return at == begin + size;
}

void AddressTable::remove(CUdeviceptr begin, std::size_t size, const char* entry) {
  const std::unique_lock lock(mutex_);
  const auto end = mappings_.lower_bound(begin + size);
  for (auto gone = mappings_.lower_bound(begin); gone != end; gone = mappings_.erase(gone))
    gone->second->is_gone = true;
  removals_.push_back({begin, size, entry, gettid(), now()});
  if (removals_.size() > most_removals) removals_.pop_front();
  change();
}

void AddressTable::remove_all_of(const void* context) {
  const std::unique_lock lock(mutex_);
  std::erase_if(mappings_, [&](const auto& entry) { return entry.second->context == context; });
  change();
}

std::string AddressTable::describe(CUdeviceptr address) const {
  if (const MappingPointer found = at(address)) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "it is mapped (%#llx, %zu bytes) without this right, or the right was changed",
                  found->begin, found->size);
    return text;
  }
  const std::shared_lock lock(mutex_);
  const std::int64_t time = now();
  for (auto removal = removals_.rbegin(); removal != removals_.rend(); ++removal) {
    if (address < removal->begin || address >= removal->begin + removal->size) continue;
    char text[200];
    std::snprintf(text, sizeof text,
                  "%s of thread %d took it away %lld us before (%#llx, %zu bytes)", removal->entry,
                  removal->thread, static_cast<long long>((time - removal->time) / 1000),
                  removal->begin, removal->size);
    return text;
  }
  return "nothing was ever mapped there";
}

bool AddressTable::reserve(CUdeviceptr* begin, std::size_t size, CUdeviceptr hint) {
  constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* got = MAP_FAILED;
  if (hint != 0) got = mmap(bytes_at(hint), size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) {
    void* const wide = mmap(nullptr, size + granularity, PROT_NONE, flags, -1, 0);
    if (wide == MAP_FAILED) return false;
    const auto first = reinterpret_cast<CUdeviceptr>(wide);
    const CUdeviceptr aligned = (first + granularity - 1) / granularity * granularity;
    if (aligned != first) munmap(wide, aligned - first);
    munmap(bytes_at(aligned + size), first + granularity - aligned);
    got = bytes_at(aligned);
  }
  *begin = reinterpret_cast<CUdeviceptr>(got);
  const std::unique_lock lock(mutex_);
  reservations_[*begin] = size;
  return true;
}

bool AddressTable::release(CUdeviceptr begin, std::size_t size) {
  if (first_in(begin, size) != nullptr) return false;
  {
    const std::unique_lock lock(mutex_);
    const auto found = reservations_.find(begin);
    if (found == reservations_.end() || found->second != size) return false;
    reservations_.erase(found);
  }
  munmap(bytes_at(begin), size);
  return true;
}

bool AddressTable::is_reserved(CUdeviceptr begin, std::size_t size) const {
  const std::shared_lock lock(mutex_);
  auto found = reservations_.upper_bound(begin);
  if (found == reservations_.begin()) return false;
  --found;
  return begin + size <= found->first + found->second;
}

}  // namespace sluice::fake_cuda
