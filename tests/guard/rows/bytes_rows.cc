// Files, pipes, sockets and streams.
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "rows.hpp"

using namespace rows;

namespace {

constexpr std::size_t many = 20000;  // some pages

// An unlinked file of `many` letters.
int file_of(char letter) {
  char path[] = "/tmp/sluice-rows-XXXXXX";
  const int file = mkostemp(path, O_CLOEXEC);
  unlink(path);
  char bytes[many];
  memset(bytes, letter, many);
  if (pwrite(file, bytes, many, 0) != static_cast<ssize_t>(many)) say("no file");
  return file;
}
bool holds(int file, char letter) {
  char bytes[many];
  return pread(file, bytes, many, 0) == static_cast<ssize_t>(many) && is_all(bytes, letter, many);
}
struct Ends {
  int ends[2] = {-1, -1};
  explicit Ends(int type) {
    if ((type == 0 ? pipe2(ends, O_CLOEXEC) : socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends)) !=
        0)
      say("no ends");
  }
  ~Ends() {
    close(ends[0]);
    close(ends[1]);
  }
  Ends(const Ends&) = delete;
  Ends& operator=(const Ends&) = delete;
};
// Returns the address: a port of the loopback device that Linux chose.
sockaddr_in bind_to_loopback(int socket) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0)
    say("not bound");
  return address;
}
void send_plain(int socket, const char* text) {
  if (write(socket, text, strlen(text)) < 0) say("not sent");
}
// Goes on after a short count, as programs do: a page may leave in the middle of a file's bytes.
template <typename Move>
long move_all(std::size_t size, Move&& move) {
  std::size_t done = 0;
  while (done < size) {
    const long got = move(done);
    if (got <= 0) return done != 0 ? static_cast<long>(done) : got;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<long>(done);
}
// The same with a list of one part.
template <typename Move>
long move_part(char* bytes, std::size_t size, Move&& move) {
  iovec* const list = put(iovec{});
  return move_all(size, [&](std::size_t done) {
    *list = {bytes + done, size - done};
    away();
    return move(list, static_cast<off_t>(done));
  });
}
// Sends until the next one would wait.
int fill(int file) {
  const int flags = fcntl(file, F_GETFL);
  fcntl(file, F_SETFL, flags | O_NONBLOCK);
  int count = 0;
  while (write(file, "filler", 6) > 0) ++count;
  fcntl(file, F_SETFL, flags);
  return count;
}
// Reads so many bytes.
void drain(int file, std::size_t size) {
  char bytes[4096];
  while (size != 0) {
    const ssize_t got = read(file, bytes, size < sizeof bytes ? size : sizeof bytes);
    if (got <= 0) return;
    size -= static_cast<std::size_t>(got);
  }
}
// The bytes that are there now.
std::size_t waiting(int file) {
  int size = 0;
  return ioctl(file, FIONREAD, &size) == 0 ? static_cast<std::size_t>(size) : 0;
}

// What came, and that nothing behind it was changed.
void show(const char* to, const char* wanted) {
  const std::size_t size = strlen(wanted);
  say("%d %d", memcmp(to, wanted, size) == 0, is_all(to + size, 'o', 64));
}

}  // namespace

// --- read() and its like -------------------------------------------------------------------------
ROW("read __read_chk") {
  auto* const call =
      function<ssize_t(int, void*, size_t, size_t)>(name);  // read() ignores the last one
  const int file = file_of('a');
  char* to = letters('o', many);
  away();
  result(
      move_all(many, [&](std::size_t done) { return call(file, to + done, many - done, many); }));
  say("%d", is_all(to, 'a', many));
  close(file);
  for (const int type : {0, int{SOCK_STREAM}, int{SOCK_DGRAM}, int{SOCK_SEQPACKET}}) {
    const Ends both(type);
    to = letters('o', many);
    send_plain(both.ends[type == 0 ? 1 : 0], "hello");
    away();
    result(call(both.ends[type == 0 ? 0 : 1], to, many, many));
    show(to, "hello");
  }
  const int counter = eventfd(7, EFD_CLOEXEC);
  auto* const count = put(eventfd_t{0});
  away();
  result(call(counter, count, sizeof *count, sizeof *count));
  say("%d", static_cast<int>(*count));
  close(counter);
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  const itimerspec once = {{0, 0}, {0, 1000}};
  timerfd_settime(timer, 0, &once, nullptr);
  auto* const ticks = put(std::uint64_t{0});
  away();
  result(call(timer, ticks, sizeof *ticks, sizeof *ticks));
  say("%d", static_cast<int>(*ticks));
  close(timer);
  const int watch = inotify_init1(IN_CLOEXEC);
  char folder[] = "/tmp/sluice-rows-XXXXXX";
  if (mkdtemp(folder) == nullptr) say("no folder");
  inotify_add_watch(watch, folder, IN_DELETE_SELF);
  rmdir(folder);
  auto* const event = put(inotify_event{}, 8);
  away();
  result(call(watch, event, 8 * sizeof *event, 8 * sizeof *event) > 0 ? 1 : -1);
  say("%x", event->mask & IN_DELETE_SELF);
  close(watch);
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  const int signals = signalfd(-1, &set, SFD_CLOEXEC);
  raise(SIGUSR1);
  auto* const info = put(signalfd_siginfo{});
  away();
  result(call(signals, info, sizeof *info, sizeof *info));
  say("%d", info->ssi_signo == SIGUSR1);
  close(signals);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}
ROW("pread pread64 __pread_chk __pread64_chk") {
  auto* const call = function<ssize_t(int, void*, size_t, off_t, size_t)>(name);
  const int file = file_of('a');
  char* const to = letters('o', 5000);
  away();
  result(move_all(5000, [&](std::size_t done) {
    return call(file, to + done, 5000 - done, 100 + static_cast<off_t>(done), 5000);
  }));
  say("%d", is_all(to, 'a', 5000));
  close(file);
}
ROW("write") {
  const int file = file_of('a');
  const char* const from = letters('w', many);
  away();
  lseek(file, 0, SEEK_SET);
  result(move_all(many, [&](std::size_t done) { return write(file, from + done, many - done); }));
  say("%d", holds(file, 'w'));
  close(file);
  const Ends both(SOCK_DGRAM);
  const char* const message = letters('m', 300);
  away();
  result(write(both.ends[0], message, 300));
  char plain[400];
  result(read(both.ends[1], plain, sizeof plain));
  say("%d", is_all(plain, 'm', 300));
}
ROW("pwrite pwrite64") {
  auto* const call = function<decltype(pwrite)>(name);
  const int file = file_of('a');
  const char* const from = letters('w', many);
  away();
  result(move_all(many, [&](std::size_t done) {
    return call(file, from + done, many - done, static_cast<off_t>(done));
  }));
  say("%d", holds(file, 'w'));
  close(file);
}
ROW("readv") {
  for (const int type : {0, int{SOCK_STREAM}, int{SOCK_DGRAM}}) {
    const Ends both(type);
    char* const one = letters('o', 3);
    char* const two = letters('o', many);
    const auto* const list = put(iovec{one, 3}, 2);
    const_cast<iovec*>(list)[1] = {two, many};
    send_plain(both.ends[type == 0 ? 1 : 0], "message");
    away();
    result(readv(both.ends[type == 0 ? 0 : 1], list, 2));
    say("%d", memcmp(one, "mes", 3) == 0);
    show(two, "sage");
  }
}
ROW("preadv preadv64") {
  auto* const call = function<decltype(preadv)>(name);
  const int file = file_of('a');
  char* const to = letters('o', 5000);
  result(move_part(to, 5000,
                   [&](const iovec* list, off_t done) { return call(file, list, 1, 7 + done); }));
  say("%d", is_all(to, 'a', 5000));
  close(file);
}
ROW("preadv2 preadv64v2") {
  auto* const call = function<decltype(preadv2)>(name);
  const int file = file_of('a');
  char* const to = letters('o', 5000);
  result(move_part(
      to, 5000, [&](const iovec* list, off_t done) { return call(file, list, 1, 7 + done, 0); }));
  say("%d", is_all(to, 'a', 5000));
  close(file);
}
ROW("writev") {
  const int file = file_of('a');
  result(move_part(letters('w', many), many, [&](const iovec* list, off_t done) {
    lseek(file, done, SEEK_SET);
    return writev(file, list, 1);
  }));
  say("%d", holds(file, 'w'));
  close(file);
}
ROW("pwritev pwritev64") {
  auto* const call = function<decltype(pwritev)>(name);
  const int file = file_of('a');
  result(move_part(letters('w', many), many,
                   [&](const iovec* list, off_t done) { return call(file, list, 1, done); }));
  say("%d", holds(file, 'w'));
  close(file);
}
ROW("pwritev2 pwritev64v2") {
  auto* const call = function<decltype(pwritev2)>(name);
  const int file = file_of('a');
  result(move_part(letters('w', many), many,
                   [&](const iovec* list, off_t done) { return call(file, list, 1, done, 0); }));
  say("%d", holds(file, 'w'));
  close(file);
}
ROW("vmsplice") {
  const Ends both(0);
  const auto* const list = put(iovec{letters('v', 4096), 4096});
  away();
  result(vmsplice(both.ends[1], list, 1, 0));
  char* const to = letters_late('o', many);
  const auto* const there = put(iovec{to, many});
  away();
  result(vmsplice(both.ends[0], there, 1, 0));
  say("%d %d", is_all(to, 'v', 4096), is_all(to + 4096, 'o', 100));
}
ROW("splice copy_file_range") {
  auto* const call = function<decltype(splice)>(name);
  const int from = file_of('s');
  const int to = file_of('a');
  const bool pipes = strcmp(name, "splice") == 0;
  const Ends both(0);
  auto* const at = put(off64_t{100});
  away();
  result(call(from, at, pipes ? both.ends[1] : to, nullptr, 1000, 0));
  say("%d", static_cast<int>(*at));
  close(from);
  close(to);
}
// The page of an offset leaves while bytes are moved: they are moved once.
ROW("splice sendfile sendfile64") {
  const int from = file_of('s');
  const bool pipes = strcmp(name, "splice") == 0;
  const Ends both(pipes ? 0 : SOCK_STREAM);
  const int there = both.ends[pipes ? 0 : 1];
  const int target = both.ends[pipes ? 1 : 0];
  fill(target);
  const std::size_t before = waiting(there);
  auto* const at = put_late(off64_t{100});
  away();
  {
    const DuringCall during(pipes ? SYS_splice : SYS_sendfile, [&] { drain(there, before); });
    result(pipes ? splice(from, at, target, nullptr, 1000, 0)
                 : function<decltype(sendfile)>(name)(target, from, at, 1000));
  }
  say("%d %zu", static_cast<int>(*at), waiting(there));
  close(from);
}
ROW("copy_file_range") {
  constexpr std::size_t size = std::size_t{32} << 20;
  const int from = file_of('s');
  const int to = file_of('a');
  if (ftruncate(from, size) != 0) say("no file");
  auto* const from_at = put_late(off64_t{0});
  auto* const to_at = put_late(off64_t{0});
  away();
  long got = 0;
  {
    const DuringCall during(SYS_copy_file_range, [] {});
    got = copy_file_range(from, from_at, to, to_at, size, 0);
  }
  struct stat state = {};
  fstat(to, &state);
  say("%d %d %d", got == *from_at, got == *to_at, std::max<long>(got, many) == state.st_size);
  close(from);
  close(to);
}
ROW("sendfile sendfile64") {
  auto* const call = function<decltype(sendfile)>(name);
  const int from = file_of('s');
  const Ends both(SOCK_STREAM);
  auto* const at = put(off_t{100});
  away();
  result(call(both.ends[0], from, at, 1000));
  say("%d", static_cast<int>(*at));
  close(from);
}
ROW("eventfd_read") {
  const int counter = eventfd(9, EFD_CLOEXEC);
  auto* const count = put(eventfd_t{0});
  away();
  result(eventfd_read(counter, count));
  say("%d", static_cast<int>(*count));
  close(counter);
}
ROW("process_vm_readv process_vm_writev") {
  auto* const call = function<decltype(process_vm_readv)>(name);
  char plain[512];
  memset(plain, 'p', sizeof plain);
  char* const managed = letters('m', sizeof plain);
  const auto* const mine = put(iovec{managed, sizeof plain});
  const iovec theirs = {plain, sizeof plain};
  away();
  result(call(getpid(), mine, 1, &theirs, 1, 0));
  say("%c %c", managed[511], plain[511]);
}
ROW("getrandom getentropy") {
  char* const to = letters('o', 200);
  away();
  result(strcmp(name, "getrandom") == 0 ? getrandom(to, 200, 0) : getentropy(to, 200));
  say("%d", is_all(to, 'o', 200));
}

// --- sockets -------------------------------------------------------------------------------------
ROW("send") {
  const Ends both(SOCK_DGRAM);
  const char* const from = letters('d', 3000);
  away();
  result(send(both.ends[0], from, 3000, 0));
  char plain[4000];
  result(recv(both.ends[1], plain, sizeof plain, 0));
  say("%d", is_all(plain, 'd', 3000));
}
ROW("recv __recv_chk") {
  const bool checks = name[0] == '_';
  for (const int type : {int{SOCK_STREAM}, int{SOCK_DGRAM}, int{SOCK_SEQPACKET}})
    for (int again = 0; again < 2; ++again) {
      const Ends both(type);
      send_plain(both.ends[0], "first");
      if (type != SOCK_STREAM) send_plain(both.ends[0], "second");
      char* const to = letters('o', many);
      away();
      const auto get = [&](char* there) {
        return checks ? function<ssize_t(int, void*, size_t, size_t, int)>(name)(
                            both.ends[1], there, many, many, 0)
                      : recv(both.ends[1], there, many, again == 1 ? MSG_PEEK : 0);
      };
      result(get(to));
      show(to, "first");
      if (type == SOCK_STREAM) continue;
      char* const second = letters('o', many);
      away();
      result(get(second));
      show(second, again == 1 && !checks ? "first" : "second");
    }
}
ROW("sendto recvfrom __recvfrom_chk") {
  const int one = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int two = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = bind_to_loopback(two);
  const char* const from = letters('d', 1000);
  auto* const to_address = put(address);
  away();
  result(sendto(one, from, 1000, 0, reinterpret_cast<sockaddr*>(to_address), sizeof address));
  char* const to = letters('o', many);
  auto* const from_address = put(sockaddr_in{});
  auto* const from_length = put(socklen_t{sizeof address});
  auto* const from_place = reinterpret_cast<sockaddr*>(from_address);
  away();
  if (strcmp(name, "__recvfrom_chk") == 0)
    result(function<ssize_t(int, void*, size_t, size_t, int, sockaddr*, socklen_t*)>(name)(
        two, to, many, many, 0, from_place, from_length));
  else
    result(recvfrom(two, to, many, 0, from_place, from_length));
  say("%d %d %u %d", is_all(to, 'd', 1000), is_all(to + 1000, 'o', 1000), *from_length,
      from_address->sin_addr.s_addr == address.sin_addr.s_addr);
  close(one);
  close(two);
}
ROW("sendmsg recvmsg") {
  const Ends both(SOCK_DGRAM);
  auto* const sent = put(msghdr{});
  sent->msg_iov = put(iovec{letters('1', 700), 700});
  sent->msg_iovlen = 1;
  alignas(cmsghdr) char rights[CMSG_SPACE(sizeof(int))] = {};
  auto* const head = reinterpret_cast<cmsghdr*>(rights);
  *head = {};
  head->cmsg_len = CMSG_LEN(sizeof(int));
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  const int passed = both.ends[0];
  memcpy(CMSG_DATA(head), &passed, sizeof passed);
  sent->msg_control = take(sizeof rights);
  memcpy(sent->msg_control, rights, sizeof rights);
  sent->msg_controllen = sizeof rights;
  away();
  result(sendmsg(both.ends[0], sent, 0));
  auto* const got = put(msghdr{});
  char* const one = letters('o', 500);
  char* const two = letters('o', many);
  got->msg_iov = put(iovec{one, 500}, 2);
  got->msg_iov[1] = {two, many};
  got->msg_iovlen = 2;
  got->msg_control = take(256);
  got->msg_controllen = 256;
  got->msg_name = put(sockaddr_un{});
  got->msg_namelen = sizeof(sockaddr_un);
  away();
  result(recvmsg(both.ends[1], got, 0));
  say("%d %d %d %zu %u %d", is_all(one, '1', 500), is_all(two, '1', 200),
      is_all(two + 200, 'o', 200), got->msg_controllen, got->msg_namelen, got->msg_flags);
  int received = -1;
  memcpy(&received, CMSG_DATA(static_cast<cmsghdr*>(got->msg_control)), sizeof received);
  say("%d", received > both.ends[1]);
  close(received);
}
ROW("sendmmsg recvmmsg") {
  const Ends both(SOCK_DGRAM);
  auto* const sent = put(mmsghdr{}, 2);
  for (int i = 0; i < 2; ++i) {
    sent[i].msg_hdr.msg_iov = put(iovec{letters(static_cast<char>('1' + i), 900), 900});
    sent[i].msg_hdr.msg_iovlen = 1;
  }
  away();
  result(move_all(2, [&](std::size_t done) {
    return sendmmsg(both.ends[0], sent + done, static_cast<unsigned>(2 - done), 0);
  }));
  auto* const got = put(mmsghdr{}, 3);
  for (int i = 0; i < 3; ++i) {
    got[i].msg_hdr.msg_iov = put(iovec{letters('o', 1000), 1000});
    got[i].msg_hdr.msg_iovlen = 1;
  }
  away();
  auto* const limit = put(timespec{1, 0});
  away();
  result(recvmmsg(both.ends[1], got, 3, MSG_DONTWAIT, limit));
  for (int i = 0; i < 3; ++i)
    say("%u %.3s", got[i].msg_len, static_cast<char*>(got[i].msg_hdr.msg_iov->iov_base) + 898);
}
// The page of msg_len leaves while the first message waits for room: each is sent once.
ROW("sendmmsg") {
  const Ends both(SOCK_DGRAM);
  const int before = fill(both.ends[0]);
  auto* const sent = put_late(mmsghdr{}, 3);
  for (int i = 0; i < 3; ++i) {
    sent[i].msg_hdr.msg_iov = put(iovec{letters(static_cast<char>('1' + i), 900), 900});
    sent[i].msg_hdr.msg_iovlen = 1;
  }
  away();
  {
    const DuringCall during(SYS_sendmmsg, [&] {
      for (int i = 0; i < before; ++i) drain(both.ends[1], 6);
    });
    result(move_all(3, [&](std::size_t done) {
      return sendmmsg(both.ends[0], sent + done, static_cast<unsigned>(3 - done), 0);
    }));
  }
  for (int i = 0; i < 3; ++i) say("%u", sent[i].msg_len);
  char got[1000];
  while (recv(both.ends[1], got, sizeof got, MSG_DONTWAIT) > 0) say("%c", got[0]);
}
// Linux takes 1024 headers of more; the results leave before it stores them.
ROW("recvmmsg") {
  const Ends both(SOCK_DGRAM);
  send_plain(both.ends[0], "one");
  send_plain(both.ends[0], "two");
  auto* const got = put_late(mmsghdr{}, 2000);
  for (int i = 0; i < 3; ++i) {
    got[i].msg_hdr.msg_iov = put(iovec{letters_late('o', 1000), 1000});
    got[i].msg_hdr.msg_iovlen = 1;
  }
  away();
  result(recvmmsg(both.ends[1], got, 2000, MSG_DONTWAIT, nullptr));
  for (int i = 0; i < 3; ++i)
    say("%u %.3s", got[i].msg_len, static_cast<char*>(got[i].msg_hdr.msg_iov->iov_base));
}
ROW("recv recvfrom read") {
  const Ends both(SOCK_DGRAM);
  send_plain(both.ends[0], "first");
  send_plain(both.ends[0], "second");
  char* const to = letters_late('o', many);
  away();
  result(strcmp(name, "recv") == 0   ? recv(both.ends[1], to, many, 0)
         : strcmp(name, "read") == 0 ? read(both.ends[1], to, many)
                                     : recvfrom(both.ends[1], to, many, 0, nullptr, nullptr));
  show(to, "first");
}
ROW("bind connect accept accept4 getsockname getpeername") {
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  static int count = 0;
  snprintf(address.sun_path + 1, 100, "sluice-rows-%d-%d", getpid(), count++);
  auto* place = reinterpret_cast<sockaddr*>(put(address));
  away();
  result(bind(server, place, sizeof address));
  result(listen(server, 1));
  away();
  result(connect(client, place, sizeof address));
  auto* const from = put_late(sockaddr_un{});
  auto* const room = put(socklen_t{sizeof(sockaddr_un)});
  place = reinterpret_cast<sockaddr*>(from);
  away();
  const int accepted = strcmp(name, "accept4") == 0 ? accept4(server, place, room, SOCK_CLOEXEC)
                                                    : accept(server, place, room);
  say("%d %u", accepted >= 0, *room);
  *room = sizeof(sockaddr_un);
  away();
  result(strcmp(name, "getsockname") == 0 ? getsockname(server, place, room)
                                          : getpeername(client, place, room));
  say("%u %d", *room, memcmp(from, &address, sizeof address) == 0);
  // An address is cut to the room for it, also where its page leaves when the length is stored.
  memset(from, 'o', sizeof *from);
  *room = 8;
  away();
  result(strcmp(name, "getsockname") == 0 ? getsockname(server, place, room)
                                          : getpeername(client, place, room));
  say("%u %d", *room, is_all(reinterpret_cast<char*>(from) + 8, 'o', sizeof *from - 8));
  close(accepted);
  close(client);
  close(server);
}
ROW("getsockopt setsockopt") {
  const int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int* const on = put(1);
  away();
  result(setsockopt(one, SOL_SOCKET, SO_KEEPALIVE, on, sizeof *on));
  int* const got = put(0);
  auto* const room = put(socklen_t{sizeof(int)});
  away();
  result(getsockopt(one, SOL_SOCKET, SO_KEEPALIVE, got, room));
  say("%d %u", *got, *room);
  close(one);
}
// An error that is told is gone from the socket.
ROW("getsockopt") {
  const int one = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = bind_to_loopback(other);
  connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  close(other);
  send_plain(one, "x");
  int* const got = put_late(0);
  auto* const room = put(socklen_t{sizeof(int)});
  away();
  result(getsockopt(one, SOL_SOCKET, SO_ERROR, got, room));
  say("%s", strerrorname_np(*got));
  close(one);
}
ROW("socketpair pipe pipe2") {
  int* const ends = put(-1, 2);
  away();
  result(strcmp(name, "pipe") == 0    ? pipe(ends)
         : strcmp(name, "pipe2") == 0 ? pipe2(ends, O_CLOEXEC)
                                      : socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  result(write(ends[1], "x", 1));
  close(ends[0]);
  close(ends[1]);
}

// --- waiting for files ---------------------------------------------------------------------------
ROW("poll __poll_chk") {
  const Ends both(0);
  send_plain(both.ends[1], "x");
  auto* const files = put(pollfd{both.ends[0], POLLIN, 0}, 2);
  away();
  result(function<int(pollfd*, nfds_t, int, size_t)>(name)(files, 2, 5000, 2 * sizeof *files));
  say("%d", files[1].revents == POLLIN);
}
ROW("ppoll __ppoll_chk") {
  const Ends both(0);
  send_plain(both.ends[1], "x");
  auto* const files = put(pollfd{both.ends[0], POLLIN, 0}, 2);
  const auto* const limit = put(timespec{5, 0});
  away();
  result(function<int(pollfd*, nfds_t, const timespec*, const sigset_t*, size_t)>(name)(
      files, 2, limit, nullptr, 2 * sizeof *files));
  say("%d", files[1].revents == POLLIN);
}
// The page of what is told leaves during the wait, which is not begun again.
ROW("poll ppoll select pselect") {
  const Ends both(0);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(both.ends[0], &set);
  fd_set* const reads = put_late(set);
  auto* const files = put_late(pollfd{both.ends[0], POLLIN, 0});
  auto* const limit = put_late(timeval{60, 0});
  auto* const exact = put(timespec{60, 0});
  const int count = both.ends[0] + 1;
  away();
  {
    const bool polls = strstr(name, "poll") != nullptr;
    const DuringCall during(name[0] != 'p'              ? SYS_pselect6
                            : strcmp(name, "poll") == 0 ? SYS_poll
                            : polls                     ? SYS_ppoll
                                                        : SYS_pselect6,
                            [&] { send_plain(both.ends[1], "x"); });
    result(strcmp(name, "poll") == 0     ? poll(files, 1, 60000)
           : polls                       ? ppoll(files, 1, exact, nullptr)
           : strcmp(name, "select") == 0 ? select(count, reads, nullptr, nullptr, limit)
                                         : pselect(count, reads, nullptr, nullptr, exact, nullptr));
  }
  say("%d %d %d", calls(), FD_ISSET(both.ends[0], reads) != 0, files->revents == POLLIN);
}
ROW("select pselect") {
  const Ends both(0);
  send_plain(both.ends[1], "x");
  fd_set set;
  FD_ZERO(&set);
  FD_SET(both.ends[0], &set);
  fd_set* const reads = put(set);
  fd_set* const writes = put(fd_set{});
  auto* const limit = put(timeval{5, 0});
  auto* const exact = put(timespec{5, 0});
  sigset_t none;
  sigemptyset(&none);
  const sigset_t* const mask = put(none);
  away();
  result(strcmp(name, "select") == 0
             ? select(both.ends[0] + 1, reads, writes, nullptr, limit)
             : pselect(both.ends[0] + 1, reads, writes, nullptr, exact, mask));
  say("%d", FD_ISSET(both.ends[0], reads) != 0);
}
ROW("epoll_ctl epoll_wait epoll_pwait epoll_pwait2") {
  for (const unsigned mode :
       {0U, static_cast<unsigned>(EPOLLET), static_cast<unsigned>(EPOLLONESHOT)}) {
    const Ends both(0);
    send_plain(both.ends[1], "x");
    const int poller = epoll_create1(EPOLL_CLOEXEC);
    epoll_event wanted = {};
    wanted.events = EPOLLIN | mode;
    wanted.data.u64 = 77;
    auto* const asked = put(wanted);
    away();
    result(epoll_ctl(poller, EPOLL_CTL_ADD, both.ends[0], asked));
    auto* const got = put(epoll_event{}, 4);
    const auto* const limit = put(timespec{5, 0});
    away();
    if (strcmp(name, "epoll_pwait2") == 0)
      result(epoll_pwait2(poller, got, 4, limit, nullptr));
    else if (strcmp(name, "epoll_pwait") == 0)
      result(epoll_pwait(poller, got, 4, 5000, nullptr));
    else
      result(epoll_wait(poller, got, 4, 5000));
    say("%d", static_cast<int>(got[0].data.u64));
    close(poller);
  }
}

// --- streams -------------------------------------------------------------------------------------
ROW("fread fread_unlocked __fread_chk __fread_unlocked_chk") {
  for (const bool buffered : {true, false}) {
    FILE* const file = fdopen(file_of('a'), "r+");
    if (!buffered) setvbuf(file, nullptr, _IONBF, 0);
    rewind(file);
    char* const to = letters('o', many);
    away();
    if (name[0] == '_')
      say("%zu", function<size_t(void*, size_t, size_t, size_t, FILE*)>(name)(to, many, 10,
                                                                              many / 10, file));
    else
      say("%zu", function<decltype(fread)>(name)(to, 10, many / 10, file));
    say("%d %d", is_all(to, 'a', many), feof(file));
    away();
    say("%zu %d %d", fread(to, 1, 10, file), feof(file) != 0, ferror(file));
    fclose(file);
    const Ends both(0);
    send_plain(both.ends[1], "0123456789");
    FILE* const stream = fdopen(dup(both.ends[0]), "r");
    if (!buffered) setvbuf(stream, nullptr, _IONBF, 0);
    char* const there = letters('o', 100);
    away();
    say("%zu", fread(there, 5, 2, stream));
    show(there, "0123456789");
    fclose(stream);
  }
}
// A stream over messages, each of which can be read once.
ROW("fread fread_unlocked") {
  const Ends both(SOCK_DGRAM);
  char message[8192];
  memset(message, 'f', sizeof message);
  for (int i = 0; i < 2; ++i)
    if (write(both.ends[1], message, sizeof message) < 0) say("not sent");
  send_plain(both.ends[1], "more");
  FILE* const stream = fdopen(dup(both.ends[0]), "r");
  char* const to = letters_late('o', 3 * sizeof message);
  away();
  say("%zu", function<decltype(fread)>(name)(to, 16, 1024, stream));
  say("%d %d", is_all(to, 'f', 2 * sizeof message), is_all(to + 2 * sizeof message, 'o', 8192));
  say("%zu", waiting(both.ends[0]));
  fclose(stream);
}
ROW("fwrite fwrite_unlocked") {
  for (const bool buffered : {true, false}) {
    const int file = file_of('a');
    FILE* const stream = fdopen(dup(file), "r+");
    if (!buffered) setvbuf(stream, nullptr, _IONBF, 0);
    rewind(stream);
    const char* const from = letters('w', many);
    away();
    say("%zu", function<decltype(fwrite)>(name)(from, 10, many / 10, stream));
    say("%d %d", fclose(stream), holds(file, 'w'));
    close(file);
  }
}
ROW("fputs fputs_unlocked") {
  const int file = file_of('a');
  FILE* const stream = fdopen(dup(file), "r+");
  rewind(stream);
  char* const from = letters('w', many + 1);
  from[many] = 0;
  away();
  say("%d", function<decltype(fputs)>(name)(from, stream) >= 0);
  say("%d %d", fclose(stream), holds(file, 'w'));
  close(file);
}
ROW("puts") {
  fflush(stdout);
  const int file = file_of('a');
  const int before = dup(STDOUT_FILENO);
  lseek(file, 0, SEEK_SET);
  dup2(file, STDOUT_FILENO);
  char* const from = letters('w', many + 1);
  from[many] = 0;
  away();
  const int got = puts(from);
  fflush(stdout);
  dup2(before, STDOUT_FILENO);
  close(before);
  say("%d %d", got >= 0, holds(file, 'w'));
  close(file);
}
