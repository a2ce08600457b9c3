// ioctl(): those of the machine's files go to it, all others to Linux.
#include <linux/ioctl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdarg>

#include "face/kfd/drm/drm.hpp"
#include "face/kfd/transport/libc.hpp"
#include "face/kfd/transport/open_files.hpp"
#include "face/kfd/transport/state.hpp"

SLUICE_KFD_EXPORT int ioctl(int descriptor, unsigned long request, ...) noexcept {
  va_list rest;
  va_start(rest, request);
  void* const arguments = va_arg(rest, void*);
  va_end(rest);
  const unsigned long group = _IOC_TYPE(request);
  if (group == sluice::kfd::abi::group || group == sluice::kfd::drm_group) {
    if (const auto* const file = sluice::kfd::OpenFiles::find(descriptor)) {
      sluice::kfd::State* const state = sluice::kfd::State::get_if_made();
      if (state != nullptr) return state->call(*file, request, arguments);
      errno = EBADF;  // a forked child's, of its parent's
      return -1;
    }
  }
  return SLUICE_NEXT(ioctl)(descriptor, request, arguments);
}
