// Stands between the guard and libc: each call below first lets the program send the pages of its
// results to a device, once after it asked for that. So they leave after the guard has brought them
// and before the kernel stores into them, which another thread's launch would do only by chance.
//
// It is a library because the guard looks its next functions up in the libraries behind it. All
// these functions have at most six arguments of the sizes of registers, so one form passes them on.
#include <dlfcn.h>

#define ROWS_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

thread_local void (*leave)() = nullptr;
thread_local int calls = 0;

void come_between() {
  ++calls;
  void (*const now)() = leave;
  leave = nullptr;
  if (now != nullptr) now();
}

}  // namespace

ROWS_EXPORT void rows_leave_before_next_call(void (*how)()) {
  leave = how;
  calls = 0;
}
// How many of the calls this thread has made since.
ROWS_EXPORT int rows_calls() { return calls; }

#define BETWEEN(name)                                                                              \
  ROWS_EXPORT long name(long a, long b, long c, long d, long e, long f) {                          \
    static void* const next = dlsym(RTLD_NEXT, #name);                                             \
    come_between();                                                                                \
    return reinterpret_cast<long (*)(long, long, long, long, long, long)>(next)(a, b, c, d, e, f); \
  }

BETWEEN(read)
BETWEEN(readv)
BETWEEN(vmsplice)
BETWEEN(splice)
BETWEEN(copy_file_range)
BETWEEN(sendfile)
BETWEEN(sendfile64)
BETWEEN(eventfd_read)
BETWEEN(recv)
BETWEEN(recvfrom)
BETWEEN(recvmsg)
BETWEEN(recvmmsg)
BETWEEN(sendmmsg)
BETWEEN(accept)
BETWEEN(accept4)
BETWEEN(getsockname)
BETWEEN(getpeername)
BETWEEN(getsockopt)
BETWEEN(poll)
BETWEEN(ppoll)
BETWEEN(select)
BETWEEN(pselect)
BETWEEN(epoll_wait)
BETWEEN(fread)
BETWEEN(fread_unlocked)
BETWEEN(getdents64)
BETWEEN(fcntl)
BETWEEN(prlimit)
BETWEEN(prlimit64)
BETWEEN(setitimer)
BETWEEN(timer_settime)
BETWEEN(timerfd_settime)
BETWEEN(nanosleep)
BETWEEN(clock_nanosleep)
BETWEEN(wait)
BETWEEN(waitpid)
BETWEEN(wait3)
BETWEEN(wait4)
BETWEEN(waitid)
BETWEEN(mq_setattr)
BETWEEN(mq_receive)
BETWEEN(mq_timedreceive)
BETWEEN(msgrcv)
