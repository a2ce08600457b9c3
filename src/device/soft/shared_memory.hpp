// SharedMemory: a memory file and this process's mapping of all of it.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "base/result.hpp"
#include "os/errors.hpp"
#include "os/fork_guard.hpp"
#include "os/memory_file.hpp"
#include "os/owned_fd.hpp"

namespace sluice::device::soft {

class SharedMemory {
 public:
  SharedMemory() noexcept = default;
  SharedMemory(SharedMemory&& other) noexcept
      : file_(std::move(other.file_)),
        bytes_(std::exchange(other.bytes_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    unmap();
    file_ = std::move(other.file_);
    bytes_ = std::exchange(other.bytes_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { unmap(); }

  // Zeros. Takes memory as it is touched. Huge pages where the machine has them for shared memory.
  // No process that gets the file can change its size: an access here is never a SIGBUS.
  [[nodiscard]] static Result<SharedMemory> create(const char* name, std::size_t size) {
    SharedMemory memory;
    SLUICE_ASSIGN(file, os::make_memory_file(name, size));
    memory.file_ = std::move(file);
    void* bytes = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       memory.file_.get(), 0);
    if (bytes == MAP_FAILED) return os::call_failed(errno, "mmap of a memory file");
    memory.bytes_ = static_cast<std::byte*>(bytes);
    memory.size_ = size;
    for (const int advice : {MADV_DONTDUMP, MADV_DONTFORK}) madvise(bytes, size, advice);
    return memory;
  }

  // Frees the bytes even where other processes have them mapped; they find zeros there from now on.
  void discard() noexcept {
    // Linux refuses that for locked memory.
    if (bytes_ != nullptr && madvise(bytes_, size_, MADV_REMOVE) != 0 && file_.is_intact())
      (void)fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      static_cast<off_t>(size_));
    unmap();
    file_.reset();
  }

  // For handing over. -1 where the program has closed it.
  [[nodiscard]] int file() const noexcept { return file_.is_intact() ? file_.get() : -1; }
  [[nodiscard]] std::byte* bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  // A forked child does not have the mapping; something of its own may be there by now.
  void unmap() noexcept {
    void* const bytes = std::exchange(bytes_, nullptr);
    const std::size_t size = std::exchange(size_, 0);
    if (bytes != nullptr && !process_.inherited()) munmap(bytes, size);
  }

  os::ProcessMark process_;
  os::OwnedFd file_;
  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sluice::device::soft
