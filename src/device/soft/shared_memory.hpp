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
  [[nodiscard]] static Result<SharedMemory> create(const char* name, std::size_t size,
                                                   unsigned flags = 0) {
    SharedMemory memory;
    memory.file_ = os::OwnedFd(memfd_create(name, MFD_CLOEXEC | flags));
    if (!memory.file_.is_open()) return os::call_failed(errno, "memfd_create");
    if (ftruncate(memory.file_.get(), static_cast<off_t>(size)) != 0)
      return os::call_failed(errno, "sizing a memory file");
    void* bytes = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       memory.file_.get(), 0);
    if (bytes == MAP_FAILED) return os::call_failed(errno, "mapping a memory file");
    memory.bytes_ = static_cast<std::byte*>(bytes);
    memory.size_ = size;
    madvise(bytes, size, MADV_DONTDUMP);
    return memory;
  }

  // The same with a size that nobody who gets the file can change: an access here is never a SIGBUS.
  [[nodiscard]] static Result<SharedMemory> create_sealed(const char* name, std::size_t size) {
    auto memory = create(name, size, MFD_ALLOW_SEALING);
    if (memory &&
        fcntl(memory->file(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
      return os::call_failed(errno, "sealing a memory file");
    return memory;
  }

  // Frees the bytes even where other processes have them mapped; an access there is a SIGBUS from now on.
  void discard() noexcept {
    unmap();
    if (file_.is_open() && ftruncate(file_.get(), 0) != 0)
      return;  // a memory file can always shrink
    file_.reset();
  }

  [[nodiscard]] int file() const noexcept { return file_.get(); }
  [[nodiscard]] std::byte* bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void unmap() noexcept {
    if (bytes_ != nullptr) munmap(std::exchange(bytes_, nullptr), std::exchange(size_, 0));
  }

  os::OwnedFd file_;
  std::byte* bytes_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace sluice::device::soft
