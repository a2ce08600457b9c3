// Asynchronous files: a thread of libc's makes the call later, past the guard. So the buffers are
// moved to the host when the request is made, and touched entirely for drivers that need that; a
// lease keeps them there until it is done.
//
// The threads that libc starts for notifications (SIGEV_THREAD), also those of mq_notify and
// getaddrinfo_a, begin with nothing blocked, with or without the guard. Those of timers begin with
// everything blocked: sending.cc.
#include <aio.h>

#include "face/guard/buffers.hpp"

namespace sluice::guard {
namespace {

template <typename Request>
Request* brought(Request* request, bool stores) noexcept {
  if (request != nullptr)
    bring_whole(const_cast<const void*>(request->aio_buf), request->aio_nbytes, stores);
  return request;
}

template <typename Request>
Request* const* all_brought(Request* const* list, int count) noexcept {
  for (int i = 0; i < count; ++i)
    if (list[i] != nullptr && list[i]->aio_lio_opcode != LIO_NOP)
      (void)brought(list[i], list[i]->aio_lio_opcode == LIO_READ);
  return list;
}

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

SLUICE_GUARD_EXPORT int aio_read(aiocb* request) noexcept {
  return SLUICE_NEXT(aio_read)(brought(request, true));
}
SLUICE_GUARD_EXPORT int aio_read64(aiocb64* request) noexcept {
  return SLUICE_NEXT(aio_read64)(brought(request, true));
}
SLUICE_GUARD_EXPORT int aio_write(aiocb* request) noexcept {
  return SLUICE_NEXT(aio_write)(brought(request, false));
}
SLUICE_GUARD_EXPORT int aio_write64(aiocb64* request) noexcept {
  return SLUICE_NEXT(aio_write64)(brought(request, false));
}
SLUICE_GUARD_EXPORT int lio_listio(int mode, aiocb* const list[], int count,
                                   struct sigevent* event) noexcept {
  return SLUICE_NEXT(lio_listio)(mode, all_brought(list, count), count, event);
}
SLUICE_GUARD_EXPORT int lio_listio64(int mode, aiocb64* const list[], int count,
                                     struct sigevent* event) noexcept {
  return SLUICE_NEXT(lio_listio64)(mode, all_brought(list, count), count, event);
}
