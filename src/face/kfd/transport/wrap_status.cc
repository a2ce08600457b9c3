// The functions of libc that ask about files: by path, where it leads, and device files as such.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "face/kfd/transport/libc.hpp"
#include "face/kfd/transport/open_files.hpp"
#include "face/kfd/transport/paths.hpp"

using sluice::kfd::device_at;
using sluice::kfd::OpenFiles;
using sluice::kfd::Path;

namespace {

static_assert(sizeof(struct stat) == sizeof(struct stat64), "both have 64 bits here");

struct stat& as_stat(struct stat64* status) noexcept {
  return *reinterpret_cast<struct stat*>(status);
}

int described(int result, const char* path, struct stat& status) noexcept {
  const auto gpu = device_at(path);
  if (result == 0 && gpu) OpenFiles::describe_device(*gpu, status);
  return result;
}

int described(int result, int descriptor, struct stat& status) noexcept {
  if (result != 0) return result;
  if (const auto* const file = OpenFiles::find(descriptor)) OpenFiles::describe(*file, status);
  return result;
}

}  // namespace

SLUICE_KFD_EXPORT int stat(const char* path, struct stat* status) noexcept {
  return described(SLUICE_NEXT(stat)(Path(path).get(), status), path, *status);
}

SLUICE_KFD_EXPORT int stat64(const char* path, struct stat64* status) noexcept {
  return described(SLUICE_NEXT(stat64)(Path(path).get(), status), path, as_stat(status));
}

SLUICE_KFD_EXPORT int lstat(const char* path, struct stat* status) noexcept {
  return described(SLUICE_NEXT(lstat)(Path(path).get(), status), path, *status);
}

SLUICE_KFD_EXPORT int lstat64(const char* path, struct stat64* status) noexcept {
  return described(SLUICE_NEXT(lstat64)(Path(path).get(), status), path, as_stat(status));
}

SLUICE_KFD_EXPORT int fstat(int descriptor, struct stat* status) noexcept {
  return described(SLUICE_NEXT(fstat)(descriptor, status), descriptor, *status);
}

SLUICE_KFD_EXPORT int fstat64(int descriptor, struct stat64* status) noexcept {
  return described(SLUICE_NEXT(fstat64)(descriptor, status), descriptor, as_stat(status));
}

SLUICE_KFD_EXPORT int fstatat(int folder, const char* path, struct stat* status,
                              int flags) noexcept {
  return described(SLUICE_NEXT(fstatat)(folder, Path(path).get(), status, flags), path, *status);
}

SLUICE_KFD_EXPORT int fstatat64(int folder, const char* path, struct stat64* status,
                                int flags) noexcept {
  return described(SLUICE_NEXT(fstatat64)(folder, Path(path).get(), status, flags), path,
                   as_stat(status));
}

SLUICE_KFD_EXPORT int access(const char* path, int mode) noexcept {
  return SLUICE_NEXT(access)(Path(path).get(), mode);
}

SLUICE_KFD_EXPORT int faccessat(int folder, const char* path, int mode, int flags) noexcept {
  return SLUICE_NEXT(faccessat)(folder, Path(path).get(), mode, flags);
}

SLUICE_KFD_EXPORT ssize_t readlink(const char* path, char* to, size_t size) noexcept {
  return SLUICE_NEXT(readlink)(Path(path).get(), to, size);
}
