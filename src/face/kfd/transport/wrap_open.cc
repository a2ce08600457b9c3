// The functions of libc that open files and folders by path.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "face/kfd/transport/libc.hpp"
#include "face/kfd/transport/open_files.hpp"
#include "face/kfd/transport/paths.hpp"
#include "face/kfd/transport/state.hpp"

namespace sluice::kfd {
namespace {

// A device of the machine, opened; -1 and errno.
int open_device(int gpu, int flags) noexcept {
  const State* const state = State::get();
  if (state == nullptr || gpu >= state->spec().gpus) {
    errno = state == nullptr ? ENODEV : ENOENT;
    return -1;
  }
  return OpenFiles::open(gpu, flags);
}

// The third argument of open() is there only if the flags ask for a new file.
mode_t mode_of(int flags, va_list rest) noexcept {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
}

}  // namespace
}  // namespace sluice::kfd

using sluice::kfd::device_at;
using sluice::kfd::mode_of;
using sluice::kfd::open_device;
using sluice::kfd::Path;

SLUICE_KFD_EXPORT int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  if (const auto gpu = device_at(path)) return open_device(*gpu, flags);
  return SLUICE_NEXT(open)(Path(path).get(), flags, mode);
}

SLUICE_KFD_EXPORT int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  if (const auto gpu = device_at(path)) return open_device(*gpu, flags);
  return SLUICE_NEXT(open64)(Path(path).get(), flags, mode);
}

SLUICE_KFD_EXPORT int openat(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  if (const auto gpu = device_at(path)) return open_device(*gpu, flags);
  return SLUICE_NEXT(openat)(folder, Path(path).get(), flags, mode);
}

SLUICE_KFD_EXPORT int openat64(int folder, const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  if (const auto gpu = device_at(path)) return open_device(*gpu, flags);
  return SLUICE_NEXT(openat64)(folder, Path(path).get(), flags, mode);
}

SLUICE_KFD_EXPORT FILE* fopen(const char* path, const char* mode) {
  return SLUICE_NEXT(fopen)(Path(path).get(), mode);
}

SLUICE_KFD_EXPORT FILE* fopen64(const char* path, const char* mode) {
  return SLUICE_NEXT(fopen64)(Path(path).get(), mode);
}

SLUICE_KFD_EXPORT DIR* opendir(const char* path) { return SLUICE_NEXT(opendir)(Path(path).get()); }
