// Calls with buffers that docs/signals.md lists besides read() and its like, and threads that libc
// starts to tell of something.
#include <aio.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cases.hpp"

using namespace cases;

extern "C" {  // what the calls become with _FORTIFY_SOURCE
ssize_t __read_chk(int, void*, size_t, size_t);
ssize_t __pread_chk(int, void*, size_t, off_t, size_t);
ssize_t __recv_chk(int, void*, size_t, size_t, int);
size_t __fread_chk(void*, size_t, size_t, size_t, FILE*);
int __poll_chk(struct pollfd*, nfds_t, int, size_t);
char* __getcwd_chk(char*, size_t, size_t);
ssize_t __readlink_chk(const char*, char*, size_t, size_t);
}

namespace {

constexpr std::size_t size = std::size_t{64} << 10;

// A value in managed memory, on the device.
template <typename T>
T* put(const T& value, std::size_t count = 1) {
  unsigned char* const at = managed_bytes(count * sizeof(T));
  for (std::size_t i = 0; i < count; ++i) memcpy(at + i * sizeof(T), &value, sizeof(T));
  take_away(reinterpret_cast<volatile int*>(at));
  return reinterpret_cast<T*>(at);
}

// An unlinked file of `size` bytes, all 'a'.
int file_of_letters() {
  char path[] = "/tmp/sluice-cases-XXXXXX";
  const int file = mkostemp(path, O_CLOEXEC);
  unlink(path);
  static char bytes[size];
  memset(bytes, 'a', size);
  say("file of %zd", pwrite(file, bytes, size, 0));
  return file;
}
bool is_all(const void* bytes, char letter, std::size_t count = size) {
  const auto* const at = static_cast<const char*>(bytes);
  for (std::size_t i = 0; i < count; ++i)
    if (at[i] != letter) return false;
  return true;
}
bool file_is_all(int file, char letter) {
  static char bytes[size];
  return pread(file, bytes, size, 0) == static_cast<ssize_t>(size) && is_all(bytes, letter);
}
// What a call gave, and why not.
void result(const char* name, long got) { say("%s %ld errno %d", name, got, got < 0 ? errno : 0); }

sem_t told;
volatile int* touched_there = nullptr;
int seen_there = 0;
bool blocked_there = false;
void on_told(sigval value) {
  blocked_there = is_blocked(SIGSEGV) && is_blocked(SIGUSR1);
  seen_there = *touched_there + value.sival_int;
  sem_post(&told);
}
struct sigevent tell_a_thread() {
  touched_there = managed();
  sem_init(&told, 0, 0);
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = on_told;
  event.sigev_value.sival_int = 1;
  return event;
}
void await_told() {
  while (sem_wait(&told) != 0) {
  }
  say("told: %d blocked %d", seen_there, blocked_there);
}

}  // namespace

CASE(vectors_with_offsets) {
  const int file = file_of_letters();
  auto* const to = reinterpret_cast<char*>(managed_bytes(size));
  // The list of parts is managed as well.
  iovec* const list = put(iovec{to, size});
  result("preadv", preadv(file, list, 1, 0));
  say("right %d", is_all(to, 'a'));
  auto* const second = reinterpret_cast<char*>(managed_bytes(size));
  const iovec parts[] = {{second, 3000}, {second + 3000, size - 3000}};
  result("preadv2", preadv2(file, parts, 2, 0, 0));
  say("right %d", is_all(second, 'a'));
  const iovec from = {put('b', size), size};
  result("pwritev2", pwritev2(file, &from, 1, 0, 0));
  say("right %d", file_is_all(file, 'b'));
  const iovec again = {put('c', size), size};
  result("pwritev", pwritev(file, &again, 1, 0));
  say("right %d", file_is_all(file, 'c'));
  errno = 0;
  result("readv of a wild list",
         readv(file, const_cast<iovec*>(reinterpret_cast<volatile iovec*>(wild())), 1));
}
CASE(calls_of_fortified_programs) {
  const int file = file_of_letters();
  auto* to = managed_bytes(size);
  result("read", __read_chk(file, to, size, size));
  say("right %d", is_all(to, 'a'));
  to = managed_bytes(size);
  result("pread", __pread_chk(file, to, size, 0, size));
  say("right %d", is_all(to, 'a'));
  to = managed_bytes(size);
  FILE* const stream = fdopen(file, "r+");
  rewind(stream);
  say("fread %zu", __fread_chk(to, size, 1, size, stream));
  say("right %d", is_all(to, 'a'));
  int ends[2];
  result("socketpair", socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
  result("send", send(ends[0], put('m', 100), 100, 0));
  to = managed_bytes(100);
  result("recv", __recv_chk(ends[1], to, 100, 100, 0));
  say("right %d", is_all(to, 'm', 100));
  struct pollfd* const files = put(pollfd{ends[0], POLLOUT, 0});
  result("poll", __poll_chk(files, 1, 1000, sizeof *files));
  say("ready %d", files->revents == POLLOUT);
  char here[4096];
  say("%d", getcwd(here, sizeof here) != nullptr);
  const char* const where = __getcwd_chk(put('x', 4096), 4096, 4096);
  say("same folder %d", where != nullptr && strcmp(where, here) == 0);
  auto* const name = reinterpret_cast<char*>(managed_bytes(4096));
  result("readlink", __readlink_chk("/proc/self/fd/../self", name, 4096, 4096) < 0 ? -1 : 0);
}
CASE(pipes_and_other_processes_memory) {
  int* const ends = put(0, 2);
  result("pipe", pipe(ends));
  const iovec gift = {put('v', 4096), 4096};
  result("vmsplice", vmsplice(ends[1], &gift, 1, 0));
  auto* to = managed_bytes(4096);
  result("read", read(ends[0], to, 4096));
  say("right %d", is_all(to, 'v', 4096));
  char plain[512];
  memset(plain, 'p', sizeof plain);
  to = managed_bytes(sizeof plain);
  const iovec mine = {to, sizeof plain};
  const iovec theirs = {plain, sizeof plain};
  result("process_vm_readv", process_vm_readv(getpid(), &mine, 1, &theirs, 1, 0));
  say("right %d", is_all(to, 'p', sizeof plain));
  const int counter = eventfd(3, 0);
  eventfd_t* const count = put(eventfd_t{0});
  result("eventfd_read", eventfd_read(counter, count));
  say("count %d", static_cast<int>(*count));
  to = managed_bytes(64);
  result("getentropy", getentropy(to, 64));
}
CASE(many_messages_at_once) {
  int ends[2];
  result("socketpair", socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
  iovec from[2] = {{put('1', 5000), 5000}, {put('2', 5000), 5000}};
  mmsghdr* const sent = put(mmsghdr{}, 2);
  sent[0].msg_hdr.msg_iov = &from[0];
  sent[1].msg_hdr.msg_iov = &from[1];
  sent[0].msg_hdr.msg_iovlen = sent[1].msg_hdr.msg_iovlen = 1;
  take_away(reinterpret_cast<volatile int*>(sent));
  result("sendmmsg", sendmmsg(ends[0], sent, 2, 0));
  iovec to[2] = {{managed_bytes(5000), 5000}, {managed_bytes(5000), 5000}};
  mmsghdr got[2] = {};
  got[0].msg_hdr.msg_iov = &to[0];
  got[1].msg_hdr.msg_iov = &to[1];
  got[0].msg_hdr.msg_iovlen = got[1].msg_hdr.msg_iovlen = 1;
  got[0].msg_hdr.msg_name = put(sockaddr_un{});
  got[0].msg_hdr.msg_namelen = sizeof(sockaddr_un);
  result("recvmmsg", recvmmsg(ends[1], got, 2, 0, nullptr));
  say("lengths %u %u right %d %d", got[0].msg_len, got[1].msg_len,
      is_all(to[0].iov_base, '1', 5000), is_all(to[1].iov_base, '2', 5000));
}
CASE(queues_of_messages) {
  char name[64];
  snprintf(name, sizeof name, "/sluice-cases-%d", getpid());
  mq_attr limits = {};
  limits.mq_maxmsg = 4;
  limits.mq_msgsize = 512;
  const mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, &limits);
  mq_unlink(name);
  result("mq_send", mq_send(queue, put('q', 512), 512, 7));
  auto* to = reinterpret_cast<char*>(managed_bytes(512));
  unsigned* const priority = put(0U);
  result("mq_receive", mq_receive(queue, to, 512, priority));
  say("right %d priority %u", is_all(to, 'q', 512), *priority);
  struct Message {
    long type;
    char text[512];
  };
  const int other = msgget(IPC_PRIVATE, 0600);
  Message* const from = put(Message{});
  from->type = 5;
  memset(from->text, 's', sizeof from->text);
  take_away(reinterpret_cast<volatile int*>(from));
  result("msgsnd", msgsnd(other, from, sizeof from->text, 0));
  Message* const got = put(Message{});
  result("msgrcv", msgrcv(other, got, sizeof got->text, 0, 0));
  say("type %ld right %d", got->type, is_all(got->text, 's', sizeof got->text));
  msgctl(other, IPC_RMID, nullptr);
}
CASE(states_of_files_into_managed) {
  const int file = file_of_letters();
  struct stat* const one = put<struct stat>({});
  result("fstat", fstat(file, one));
  say("size %ld", static_cast<long>(one->st_size));
  struct stat* const two = put<struct stat>({});
  result("stat", stat("/", two));
  say("folder %d", S_ISDIR(two->st_mode));
  result("fstatat", fstatat(AT_FDCWD, "/dev/null", put<struct stat>({}), 0));
  struct statx* const three = put<struct statx>({});
  result("statx", statx(file, "", AT_EMPTY_PATH, STATX_SIZE, three));
  say("size %ld", static_cast<long>(three->stx_size));
  struct statfs* const four = put<struct statfs>({});
  result("fstatfs", fstatfs(file, four));
  say("blocks %d", four->f_bsize > 0);
  auto* const names = managed_bytes(4096);
  const int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  result("getdents64", getdents64(folder, names, 4096) > 0 ? 1 : -1);
  say("first %s", reinterpret_cast<const dirent64*>(names)->d_name);
  auto* const link = reinterpret_cast<char*>(managed_bytes(4096));
  result("readlink", readlink("/proc/self/exe", link, 4096) > 0 ? 1 : -1);
  say("absolute %d", link[0] == '/');
  result("setxattr", fsetxattr(file, "user.sluice", put('x', 20), 20, 0));
  auto* const value = managed_bytes(20);
  result("getxattr", fgetxattr(file, "user.sluice", value, 20));
  say("right %d", is_all(value, 'x', 20));
}
CASE(waiting_for_files_in_managed) {
  int ends[2];
  result("pipe2", pipe2(ends, O_CLOEXEC));
  result("write", write(ends[1], "x", 1));
  pollfd* files = put(pollfd{ends[0], POLLIN, 0});
  result("poll", poll(files, 1, 1000));
  say("ready %d", files->revents == POLLIN);
  files = put(pollfd{ends[0], POLLIN, 0});
  result("ppoll", ppoll(files, 1, put(timespec{1, 0}), nullptr));
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  fd_set* const reads = put(set);
  result("select", select(ends[0] + 1, reads, nullptr, nullptr, put(timeval{1, 0})));
  say("ready %d", FD_ISSET(ends[0], reads) != 0);
  fd_set* const again = put(set);
  result("pselect", pselect(ends[0] + 1, again, nullptr, nullptr, put(timespec{1, 0}), nullptr));
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted = {};
  wanted.events = EPOLLIN;
  wanted.data.u64 = 77;
  result("epoll_ctl", epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], put(wanted)));
  epoll_event* got = put(epoll_event{}, 4);
  result("epoll_wait", epoll_wait(poller, got, 4, 1000));
  say("data %d", static_cast<int>(got[0].data.u64));
  got = put(epoll_event{}, 4);
  sigset_t none;
  sigemptyset(&none);
  result("epoll_pwait", epoll_pwait(poller, got, 4, 1000, &none));
  say("data %d", static_cast<int>(got[0].data.u64));
}
CASE(addresses_and_options_of_sockets_in_managed) {
  const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const int length = snprintf(address.sun_path + 1, 64, "sluice-cases-%d", getpid());
  const auto used =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<unsigned>(length));
  result("bind", bind(server, reinterpret_cast<sockaddr*>(put(address)), used));
  result("listen", listen(server, 1));
  result("connect", connect(client, reinterpret_cast<sockaddr*>(put(address)), used));
  sockaddr_un* from = put(sockaddr_un{});
  socklen_t* room = put(static_cast<socklen_t>(sizeof(sockaddr_un)));
  result("accept", accept(server, reinterpret_cast<sockaddr*>(from), room) >= 0 ? 1 : -1);
  say("length %u", *room);
  from = put(sockaddr_un{});
  room = put(static_cast<socklen_t>(sizeof(sockaddr_un)));
  result("getpeername", getpeername(client, reinterpret_cast<sockaddr*>(from), room));
  say("same %d", *room == used && memcmp(from, &address, used) == 0);
  int* const kind = put(0);
  room = put(static_cast<socklen_t>(sizeof(int)));
  result("getsockopt", getsockopt(client, SOL_SOCKET, SO_TYPE, kind, room));
  say("stream %d", *kind == SOCK_STREAM);
  result("setsockopt", setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, put(1), sizeof(int)));
  int* const ends = put(0, 2);
  result("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  result("write", write(ends[0], "y", 1));
}
CASE(what_the_kernel_tells_into_managed) {
  utsname* const system = put(utsname{});
  result("uname", uname(system));
  say("%s", system->sysname);
  result("getgroups", getgroups(NGROUPS_MAX, put(gid_t{}, NGROUPS_MAX)) >= 0 ? 0 : -1);
  result("times", times(put(tms{})) == -1 ? -1 : 0);
  unsigned char* const there = managed_bytes(4);
  void* const page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  result("mincore", mincore(page, 4096, there));
  int* const status = put(0);
  const pid_t child = fork();
  if (child == 0) _exit(9);
  result("waitpid", waitpid(child, status, 0) == child ? 1 : -1);
  say("status %d", WEXITSTATUS(*status));
}
CASE(threads_that_tell_of_files) {
  const int file = file_of_letters();
  aiocb request = {};
  request.aio_fildes = file;
  request.aio_buf = managed_bytes(size);
  request.aio_nbytes = size;
  request.aio_sigevent = tell_a_thread();
  result("aio_read", aio_read(&request));
  await_told();
  result("aio_return", aio_return(&request));
  say("right %d", is_all(const_cast<const void*>(request.aio_buf), 'a'));
  request.aio_buf = put('w', size);
  request.aio_sigevent = tell_a_thread();
  result("aio_write", aio_write(&request));
  await_told();
  result("aio_return", aio_return(&request));
  say("right %d", file_is_all(file, 'w'));
  aiocb* list[] = {&request};
  request.aio_buf = put('l', size);
  request.aio_lio_opcode = LIO_WRITE;
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  struct sigevent event = tell_a_thread();
  result("lio_listio", lio_listio(LIO_NOWAIT, list, 1, &event));
  await_told();
  say("right %d", file_is_all(file, 'l'));
}
CASE(threads_that_tell_of_messages_and_names) {
  mask(SIG_BLOCK, SIGSEGV);  // what the caller blocks does not matter
  char name[64];
  snprintf(name, sizeof name, "/sluice-told-%d", getpid());
  const mqd_t queue = mq_open(name, O_CREAT | O_RDWR, 0600, nullptr);
  mq_unlink(name);
  struct sigevent event = tell_a_thread();
  const int heard = mq_notify(queue, &event);
  result("mq_notify", heard);
  result("mq_send", mq_send(queue, "x", 1, 0));
  if (heard == 0) await_told();
  gaicb wanted = {};
  wanted.ar_name = "127.0.0.1";
  gaicb* list[] = {&wanted};
  event = tell_a_thread();
  result("getaddrinfo_a", getaddrinfo_a(GAI_NOWAIT, list, 1, &event));
  await_told();
  say("found %d", gai_error(&wanted));
}
CASE(masks_of_raw_waiting_calls) {
  int ends[2];
  result("pipe", pipe(ends));
  result("write", write(ends[1], "x", 1));
  mask(SIG_BLOCK, SIGSEGV);
  const unsigned long none = 0;
  const long pair[] = {reinterpret_cast<long>(&none), 8};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  result("pselect6", syscall(SYS_pselect6, ends[0] + 1, &set, nullptr, nullptr, nullptr, pair));
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted = {};
  wanted.events = EPOLLIN;
  result("epoll_ctl", epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &wanted));
  const unsigned long all = ~0UL;
  result("epoll_pwait2", syscall(SYS_epoll_pwait2, poller, &wanted, 1, nullptr, &all, 8));
  say("blocked %d, %d", is_blocked(SIGSEGV), *managed());
}
