// The effects that the machine asks for, on this process and its memory files.
//
// The process's memory is read and written through Linux, which tells a bad address instead of
// raising a signal: as the kernel copies arguments.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "face/kfd/transport/shared_memory.hpp"
#include "face/kfd/transport/state.hpp"
#include "os/report.hpp"

namespace sluice::kfd {
namespace {

constexpr std::uint64_t page = 4096;

void* pointer(std::uint64_t address) noexcept {
  return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
}

}  // namespace

Time State::now() {
  timespec moment{};
  ::clock_gettime(CLOCK_MONOTONIC, &moment);
  return std::chrono::seconds(moment.tv_sec) + Time{moment.tv_nsec};
}

bool State::read(std::uint64_t address, std::span<std::byte> to) {
  if (to.empty()) return true;
  const iovec here{to.data(), to.size()};
  const iovec there{pointer(address), to.size()};
  return ::process_vm_readv(process_id_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(to.size());
}

bool State::write(std::uint64_t address, std::span<const std::byte> from) {
  if (from.empty()) return true;
  const iovec here{const_cast<std::byte*>(from.data()), from.size()};
  const iovec there{pointer(address), from.size()};
  return ::process_vm_writev(process_id_, &here, 1, &there, 1, 0) ==
         static_cast<ssize_t>(from.size());
}

// mincore() fails where nothing is mapped; it looks at some pages at a time.
bool State::is_mapped(std::uint64_t address, std::uint64_t size) {
  constexpr std::uint64_t pages_at_a_time = 1U << 16;
  static thread_local std::array<unsigned char, pages_at_a_time> residency;
  if (size == 0 || address > ~size || address + size > std::uint64_t{1} << 47) return false;
  const std::uint64_t end = (address + size + page - 1) / page * page;
  for (std::uint64_t at = address / page * page; at < end; at += pages_at_a_time * page) {
    const std::uint64_t bytes = std::min(end - at, pages_at_a_time * page);
    if (::mincore(pointer(at), bytes, residency.data()) != 0) return false;
  }
  return true;
}

std::optional<RenderFile> State::render_file(std::uint32_t descriptor) {
  const OpenFile* const file = OpenFiles::find(static_cast<int>(descriptor));
  if (file == nullptr || file->gpu < 0 || file->process != process_id_) return std::nullopt;
  return RenderFile{file->number, file->gpu};
}

void State::store(const std::optional<RenderFile>& file, std::uint64_t offset,
                  std::span<const std::byte> bytes) {
  const OpenFile* to = file ? OpenFiles::find_number(file->number) : OpenFiles::find_kfd();
  if (to == nullptr || !to->own.is_intact()) return;
  (void)::pwrite(to->own.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
}

int State::descriptor_of(const RenderFile& file) {
  if (const auto found = shared_.find(file.number); found != shared_.end())
    return found->second.is_intact() ? found->second.get() : -1;
  const OpenFile* const from =
      file.number != 0 ? OpenFiles::find_number(file.number) : OpenFiles::find_kfd();
  return from != nullptr && from->own.is_intact() ? from->own.get() : -1;
}

std::byte* State::bytes(const RenderFile& file, std::uint64_t offset, std::uint64_t size) {
  const auto key = std::pair(file.number, offset);
  if (const auto found = views_.find(key); found != views_.end() && found->second.size >= size)
    return found->second.address;
  const int from = descriptor_of(file);
  if (from < 0) return nullptr;
  void* const made =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, from, static_cast<off_t>(offset));
  if (made == MAP_FAILED) return nullptr;
  views_[key] = {static_cast<std::byte*>(made), size};
  return static_cast<std::byte*>(made);
}

std::byte* State::user_bytes(std::uint64_t address, std::uint64_t size) {
  std::array<std::byte, sizeof(std::uint64_t)> looked_at;
  if (size > looked_at.size() || !read(address, std::span(looked_at).first(size))) return nullptr;
  return static_cast<std::byte*>(pointer(address));
}

void State::tell_unknown_packet(int gpu, std::uint32_t header) {
  os::report(
      "GPU %d: the SDMA packet 0x%08x is not served; its queue goes no further (docs/kfd.md)", gpu,
      header);
}

void State::drop_view(const RenderFile& file, std::uint64_t offset) {
  const auto view = views_.find({file.number, offset});
  if (view == views_.end()) return;
  (void)::munmap(view->second.address, view->second.size);
  views_.erase(view);
}

int State::open_shared(std::uint32_t descriptor, SharedBuffer& found) {
  SharedFacts facts;
  const int error = read_shared_facts(static_cast<int>(descriptor), facts);
  if (error != 0) return error;
  os::OwnedFd own(::fcntl(static_cast<int>(descriptor), F_DUPFD_CLOEXEC, 3));
  if (!own.is_open()) return errno;
  found.file = {++last_shared_, static_cast<int>(facts.gpu)};
  found.size = facts.size;
  found.is_vram = facts.is_vram != 0;
  found.is_host_accessible = facts.is_host_accessible != 0;
  found.metadata.assign(facts.metadata.begin(), facts.metadata.begin() + facts.metadata_size);
  shared_.emplace(found.file.number, std::move(own));
  return 0;
}

void State::close_shared(const RenderFile& file) {
  drop_view(file, 0);
  shared_.erase(file.number);
}

void State::discard(const RenderFile& file, std::uint64_t offset, std::uint64_t size) {
  drop_view(file, offset);
  const OpenFile* const from = OpenFiles::find_number(file.number);
  if (from == nullptr || !from->own.is_intact()) return;
  (void)::fallocate(from->own.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(offset), static_cast<off_t>(size));
}

StepFault State::planned(int gpu, Step step) { return plan_.next(gpu, step); }

}  // namespace sluice::kfd
