// A list that only grows, so that it can be read from anywhere, as fstat() must.
#include "face/kfd/transport/open_files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <new>

#include "face/kfd/topology/topology.hpp"
#include "face/kfd/transport/libc.hpp"

namespace sluice::kfd {
namespace {

// More than any program opens: a thunk opens each render node once.
constexpr std::size_t most_files = 4096;
std::array<std::atomic<OpenFile*>, most_files> files;  // in order; null ends it
std::atomic<std::size_t> file_count{0};

// The cookies of mmap() lie far apart (uapi/calls.hpp); the file is sparse.
constexpr off_t file_bytes = off_t{1} << 53;
constexpr unsigned drm_major = 226;
constexpr unsigned kfd_major = 234;

int real_fstat(int descriptor, struct stat& status) noexcept {
  return SLUICE_NEXT(fstat)(descriptor, &status);
}

int fail_with(int error) noexcept {
  errno = error;
  return -1;
}

// A second descriptor of the one memory file of /dev/kfd, or -1.
int open_again(int cloexec) noexcept {
  const OpenFile* const there = OpenFiles::find_kfd();
  if (there == nullptr || !there->own.is_intact()) return -1;
  return ::fcntl(there->own.get(), cloexec != 0 ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
}

}  // namespace

const OpenFile* OpenFiles::find_kfd() noexcept {
  const std::size_t count = std::min(file_count.load(), most_files);
  for (std::size_t at = 0; at < count; ++at) {
    const OpenFile* const each = files[at].load();
    if (each != nullptr && each->gpu < 0 && each->process == ::getpid()) return each;
  }
  return nullptr;
}

int OpenFiles::open(int gpu, int flags) noexcept {
  const int cloexec = flags & O_CLOEXEC;
  if (gpu < 0) {
    if (const int again = open_again(cloexec); again >= 0) return again;
  }
  const char* const name = gpu < 0 ? "kfd" : "render";
  const int opened = ::memfd_create(name, cloexec != 0 ? MFD_CLOEXEC : 0);
  if (opened < 0) return -1;
  std::unique_ptr<OpenFile> made(new (std::nothrow) OpenFile);
  struct stat status{};
  if (made == nullptr || ::ftruncate(opened, file_bytes) != 0 || real_fstat(opened, status) != 0) {
    ::close(opened);
    return fail_with(ENOMEM);
  }
  made->own = os::OwnedFd(::fcntl(opened, F_DUPFD_CLOEXEC, 3));
  const std::size_t place = file_count.fetch_add(1);
  if (!made->own.is_open() || place >= most_files) {
    if (place >= most_files) file_count.fetch_sub(1);
    ::close(opened);
    return fail_with(EMFILE);
  }
  made->device = status.st_dev;
  made->inode = status.st_ino;
  made->gpu = gpu;
  made->number = place + 1;
  made->process = ::getpid();
  files[place].store(made.release());
  return opened;
}

const OpenFile* OpenFiles::find(int descriptor) noexcept {
  const std::size_t count = file_count.load();
  if (count == 0) return nullptr;
  struct stat status{};
  if (real_fstat(descriptor, status) != 0 || !S_ISREG(status.st_mode)) return nullptr;
  for (std::size_t at = 0; at < std::min(count, most_files); ++at) {
    const OpenFile* const each = files[at].load();
    if (each != nullptr && each->inode == status.st_ino && each->device == status.st_dev)
      return each;
  }
  return nullptr;
}

const OpenFile* OpenFiles::find_number(std::uint64_t number) noexcept {
  return number == 0 || number > most_files ? nullptr : files[number - 1].load();
}

void OpenFiles::describe(const OpenFile& file, struct stat& status) noexcept {
  describe_device(file.gpu, status);
}

void OpenFiles::describe_device(int gpu, struct stat& status) noexcept {
  status.st_mode = S_IFCHR | 0666;
  status.st_rdev = gpu < 0 ? makedev(kfd_major, 0)
                           : makedev(drm_major, static_cast<unsigned>(first_render_minor + gpu));
  status.st_size = 0;
  status.st_blocks = 0;
}

}  // namespace sluice::kfd
