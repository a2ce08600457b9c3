// Calls with an address beside managed memory that is invalid, may only be read, or lies over what
// the call still needs: the kernel's answer is the program's, and nothing crashes.
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>

#include "rows.hpp"

using namespace rows;

namespace {

struct Ends {
  int ends[2] = {-1, -1};
  explicit Ends(int type) {
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) say("no ends");
  }
  ~Ends() {
    close(ends[0]);
    close(ends[1]);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
  void send(const char* text) const {
    if (write(ends[0], text, strlen(text)) < 0) say("not sent");
  }
};
// The compiler is not to see it.
void* invalid() {
  static volatile std::uintptr_t address = 16;
  return reinterpret_cast<void*>(address);
}
// A page that may only be read.
void* read_only() {
  void* const page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page;
}
void show(const char* bytes, int count) { say("%.*s", count, bytes); }

}  // namespace

ROW("readv") {
  for (void* const second : {invalid(), read_only()}) {
    const Ends both(SOCK_DGRAM);
    both.send("message");
    char* const one = letters('o', 4);
    auto* const list = put(iovec{one, 4}, 2);
    list[1] = {second, 4};
    away();
    result(readv(both.ends[1], list, 2));
  }
}
// The first bytes that come lie over the rest of the list.
ROW("readv") {
  const Ends both(SOCK_STREAM);
  both.send("0123456789abcdefmore");
  char* const more = letters('o', 4);
  auto* const list = put(iovec{}, 2);
  list[0] = {list + 1, 16};
  list[1] = {more, 4};
  away();
  result(readv(both.ends[1], list, 2));
  show(reinterpret_cast<char*>(list + 1), 16);
  show(more, 4);
}
ROW("recvmsg") {
  for (const int which : {0, 1, 2, 3, 4, 5}) {
    const Ends both(SOCK_DGRAM);
    both.send("text");
    auto* const list = put(iovec{letters('o', 4), 4}, 2);
    auto* const header = put(msghdr{});
    header->msg_iov = list;
    header->msg_iovlen = 1;
    if (which == 0) header->msg_name = invalid();
    if (which == 1) header->msg_name = read_only();
    if (which <= 1) header->msg_namelen = 16;
    if (which == 2) header->msg_control = invalid();
    if (which == 2) header->msg_controllen = 16;
    if (which == 3) list[1] = {invalid(), 4};
    if (which == 3) header->msg_iovlen = 2;
    if (which == 4) header->msg_iov = static_cast<iovec*>(invalid());
    if (which == 5) header->msg_iovlen = SIZE_MAX;
    away();
    result(recvmsg(both.ends[1], header, MSG_DONTWAIT));
    show(static_cast<const char*>(list->iov_base), 4);
  }
}
ROW("recvmsg") {
  const Ends both(SOCK_DGRAM);
  both.send("text");
  auto* const page = static_cast<msghdr*>(read_only());
  mprotect(page, 4096, PROT_READ | PROT_WRITE);
  page->msg_iov = put(iovec{letters('o', 4), 4});
  page->msg_iovlen = 1;
  mprotect(page, 4096, PROT_READ);
  away();
  result(recvmsg(both.ends[1], page, MSG_DONTWAIT));
}
ROW("recvmmsg") {
  for (const bool too_many : {false, true}) {
    const Ends both(SOCK_DGRAM);
    both.send("one");
    both.send("two");
    auto* const got = put(mmsghdr{}, 2);
    for (int i = 0; i < 2; ++i) {
      got[i].msg_hdr.msg_iov = put(iovec{letters('o', 3), 3});
      got[i].msg_hdr.msg_iovlen = 1;
    }
    if (too_many)
      got[1].msg_hdr.msg_iovlen = SIZE_MAX;
    else
      got[1].msg_hdr.msg_iov = static_cast<iovec*>(invalid());
    away();
    result(recvmmsg(both.ends[1], got, 2, MSG_DONTWAIT, nullptr));
    show(static_cast<const char*>(got[0].msg_hdr.msg_iov->iov_base), 3);
  }
}
// While it waits, another thread changes what the call does not write.
ROW("poll") {
  const Ends both(SOCK_DGRAM);
  auto* const files = put_late(pollfd{both.ends[1], POLLIN, 0}, 2);
  files[1] = {-1, POLLIN, 0};
  away();
  {
    const DuringCall during(SYS_poll, [&] {
      files[1].fd = 1234;
      files[1].events = POLLOUT;
      both.send("now");
    });
    result(poll(files, 2, -1));
  }
  say("%d %d %d", files[0].revents, files[1].fd, files[1].events);
}
ROW("poll ppoll") {
  result(strcmp(name, "poll") == 0 ? poll(static_cast<pollfd*>(invalid()), 1, 0)
                                   : ppoll(static_cast<pollfd*>(invalid()), 1, nullptr, nullptr));
}
ROW("ppoll pselect") {
  const timespec none = {};
  auto* const set = static_cast<sigset_t*>(invalid());
  result(strcmp(name, "ppoll") == 0 ? ppoll(nullptr, 0, &none, set)
                                    : pselect(0, nullptr, nullptr, nullptr, &none, set));
}
ROW("sigprocmask sigpending sigsuspend sigwaitinfo sigtimedwait signalfd") {
  auto* const set = static_cast<sigset_t*>(invalid());
  auto* const wrong = static_cast<timespec*>(invalid());
  sigset_t usr2 = {};
  sigaddset(&usr2, SIGUSR2);
  if (strcmp(name, "sigprocmask") == 0) {
    result(sigprocmask(SIG_BLOCK, nullptr, set));
  } else if (strcmp(name, "sigpending") == 0) {
    result(sigpending(set));
  } else if (strcmp(name, "sigsuspend") == 0) {
    result(sigsuspend(set));
  } else if (strcmp(name, "sigwaitinfo") == 0) {
    result(sigwaitinfo(set, nullptr));
  } else if (strcmp(name, "sigtimedwait") == 0) {
    result(sigtimedwait(&usr2, nullptr, wrong));
  } else {
    result(signalfd(-1, set, SFD_CLOEXEC));
  }
}
ROW("syscall") {
  const auto at = reinterpret_cast<long>(invalid());
  constexpr long size = 8;
  const timespec none = {};
  result(syscall(SYS_rt_sigaction, SIGUSR2, at, 0, size));
  result(syscall(SYS_rt_sigaction, SIGUSR2, 0, at, size));
  result(syscall(SYS_rt_sigprocmask, SIG_BLOCK, at, 0, size));
  result(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, at, size));
  result(syscall(SYS_rt_sigpending, at, size));
  result(syscall(SYS_rt_sigsuspend, at, size));
  result(syscall(SYS_rt_sigtimedwait, at, 0, &none, size));
  result(syscall(SYS_ppoll, 0, 0, &none, at, size));
  result(syscall(SYS_pselect6, 0, 0, 0, 0, &none, at));
}
