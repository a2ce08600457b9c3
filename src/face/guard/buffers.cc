// Calls of libc that move bytes: managed parts of their buffers are moved to the host first. Calls
// that return small results are in results.cc.
//
// In the grades user and signal, as under drivers that protect pages, the kernel itself cannot wait
// for an access fault: it returns EFAULT. So the buffers are resolved before the calls below are
// made: for a driver that registered, by asking it; for a driver with a handler, by touching the
// buffer after an EFAULT and making the call again. Calls that have had their effect when they
// store (a message is off its queue, bytes are sent, a limit is set) must not be made again, so
// what they store into is touched before, and in windows stands beside managed memory (Bounce).
//
// Programs built with _FORTIFY_SOURCE use the names that end in _chk for the same calls.
// Cost: for buffers that are not managed, one comparison for each driver.
// What it does not do: raw system calls, io_uring, O_DIRECT in flight (hold a lease), ioctl, memory
// of other processes that process_vm_readv names, buffers that setvbuf() gave to a stream.
#include "face/guard/walk.hpp"

#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sluice::guard {
namespace {

constexpr std::size_t touched_before = std::size_t{64} << 10;

void resolve(const Buffer& bytes) noexcept {
  resolve_buffer(place_of(bytes.place), bytes.size, bytes.stores);
  (void)touch_managed(bytes.place, bytes.size, bytes.stores);
}

// False if an access there is invalid; true for no bytes.
bool touch(const Buffer& bytes, std::size_t limit) noexcept {
  return bytes.place == nullptr ||
         try_touch(place_of(bytes.place), bytes.size < limit ? bytes.size : limit, bytes.stores);
}

// vmsplice() into the reading end of a pipe copies to memory.
bool is_read_end(int file) noexcept {
  const long flags = os::in_handler::raw_call(SYS_fcntl, file, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY;
}

}  // namespace

bool gives_once(int file) noexcept {
  struct stat state = {};
  const bool known = os::in_handler::raw_call(SYS_fstat, file, reinterpret_cast<long>(&state)) == 0;
  return !known || !(S_ISREG(state.st_mode) || S_ISBLK(state.st_mode) || S_ISDIR(state.st_mode));
}

std::size_t length_at(const socklen_t* place) noexcept {
  return place != nullptr && try_touch(place_of(place), sizeof *place, false) ? *place : 0;
}

void bring(const Buffer* buffers, std::size_t count) noexcept {
  const bool touches = has_handler_drivers();
  for (std::size_t i = 0; i < count; ++i)
    for_each_bytes(buffers[i], [touches](const Buffer& bytes) {
      resolve(bytes);
      if (bytes.takes && touches) (void)touch(bytes, touched_before);
    });
}

bool bring_again(const Buffer* buffers, std::size_t count, bool is_first) noexcept {
  const unsigned before = answered();
  bool managed = false;
  bool lost = false;
  for (std::size_t i = 0; i < count; ++i)
    for_each_bytes(buffers[i], [&managed, &lost](const Buffer& bytes) {
      managed = managed || is_managed(bytes.place, bytes.size);
      resolve(bytes);
      if (!touch(bytes, ~std::size_t{0}) && bytes.takes) lost = true;
    });
  if (lost) return false;
  return managed || answered() != before || (is_first && has_drivers());
}

void bring_whole(const void* place, std::size_t size, bool stores) noexcept {
  const Buffer whole{place, size, Buffer::Form::bytes, stores};
  resolve(whole);
  if (has_handler_drivers()) (void)touch(whole, size);
}

}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

#define CALL SLUICE_GUARD_CALL

// --- files ---------------------------------------------------------------------------------------
// clang-format off
CALL(ssize_t, read, (int file, void* to, size_t size), (file, to, size), taken_from(file, to, size))
CALL(ssize_t, __read_chk, (int file, void* to, size_t size, size_t room), (file, to, size, room), taken_from(file, to, size))
CALL(ssize_t, pread, (int file, void* to, size_t size, off_t at), (file, to, size, at), out(to, size))
CALL(ssize_t, pread64, (int file, void* to, size_t size, off64_t at), (file, to, size, at), out(to, size))
CALL(ssize_t, __pread_chk, (int file, void* to, size_t size, off_t at, size_t room), (file, to, size, at, room), out(to, size))
CALL(ssize_t, __pread64_chk, (int file, void* to, size_t size, off64_t at, size_t room), (file, to, size, at, room), out(to, size))
CALL(ssize_t, write, (int file, const void* from, size_t size), (file, from, size), in(from, size))
CALL(ssize_t, pwrite, (int file, const void* from, size_t size, off_t at), (file, from, size, at), in(from, size))
CALL(ssize_t, pwrite64, (int file, const void* from, size_t size, off64_t at), (file, from, size, at), in(from, size))
CALL(ssize_t, readv, (int file, const iovec* to, int count), (file, to, count), taken_parts(file, to, count))
CALL(ssize_t, writev, (int file, const iovec* from, int count), (file, from, count), parts(from, count, false))
CALL(ssize_t, preadv, (int file, const iovec* to, int count, off_t at), (file, to, count, at), parts(to, count, true))
CALL(ssize_t, preadv64, (int file, const iovec* to, int count, off64_t at), (file, to, count, at), parts(to, count, true))
CALL(ssize_t, preadv2, (int file, const iovec* to, int count, off_t at, int flags), (file, to, count, at, flags), taken_parts(file, to, count))
CALL(ssize_t, preadv64v2, (int file, const iovec* to, int count, off64_t at, int flags), (file, to, count, at, flags), taken_parts(file, to, count))
CALL(ssize_t, pwritev, (int file, const iovec* from, int count, off_t at), (file, from, count, at), parts(from, count, false))
CALL(ssize_t, pwritev64, (int file, const iovec* from, int count, off64_t at), (file, from, count, at), parts(from, count, false))
CALL(ssize_t, pwritev2, (int file, const iovec* from, int count, off_t at, int flags), (file, from, count, at, flags), parts(from, count, false))
CALL(ssize_t, pwritev64v2, (int file, const iovec* from, int count, off64_t at, int flags), (file, from, count, at, flags), parts(from, count, false))
CALL(ssize_t, vmsplice, (int file, const iovec* from, size_t count, unsigned flags), (file, from, count, flags), parts(from, static_cast<long>(count), is_read_end(file)))
CALL(ssize_t, splice, (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags), (from, from_at, to, to_at, size, flags), taken(from_at, sizeof *from_at, whole_buffer), taken(to_at, sizeof *to_at, whole_buffer))
CALL(ssize_t, copy_file_range, (int from, off64_t* from_at, int to, off64_t* to_at, size_t size, unsigned flags), (from, from_at, to, to_at, size, flags), taken(from_at, sizeof *from_at, whole_buffer), taken(to_at, sizeof *to_at, whole_buffer))
CALL(ssize_t, sendfile, (int to, int from, off_t* at, size_t size) noexcept, (to, from, at, size), taken(at, sizeof *at, whole_buffer))
CALL(ssize_t, sendfile64, (int to, int from, off64_t* at, size_t size) noexcept, (to, from, at, size), taken(at, sizeof *at, whole_buffer))
CALL(int, eventfd_read, (int file, eventfd_t* to), (file, to), taken(to, sizeof *to, whole_buffer))
CALL(ssize_t, process_vm_readv, (pid_t process, const iovec* to, unsigned long count, const iovec* from, unsigned long there, unsigned long flags) noexcept, (process, to, count, from, there, flags), parts(to, static_cast<long>(count), true))
CALL(ssize_t, process_vm_writev, (pid_t process, const iovec* from, unsigned long count, const iovec* to, unsigned long there, unsigned long flags) noexcept, (process, from, count, to, there, flags), parts(from, static_cast<long>(count), false))
CALL(ssize_t, getrandom, (void* to, size_t size, unsigned flags), (to, size, flags), out(to, size))
CALL(int, getentropy, (void* to, size_t size), (to, size), out(to, size))

// --- sockets and queues of messages --------------------------------------------------------------
CALL(ssize_t, send, (int socket, const void* from, size_t size, int flags), (socket, from, size, flags), in(from, size))
CALL(ssize_t, sendto, (int socket, const void* from, size_t size, int flags, const sockaddr* to, socklen_t to_size), (socket, from, size, flags, to, to_size), in(from, size), in(to, to_size))
CALL(ssize_t, sendmsg, (int socket, const msghdr* one, int flags), (socket, one, flags), message(one))
CALL(int, sendmmsg, (int socket, mmsghdr* first, unsigned count, int flags), (socket, first, count, flags), sent_messages(first, count))
CALL(ssize_t, recv, (int socket, void* to, size_t size, int flags), (socket, to, size, flags), taken(to, size))
CALL(ssize_t, __recv_chk, (int socket, void* to, size_t size, size_t room, int flags), (socket, to, size, room, flags), taken(to, size))
CALL(ssize_t, recvfrom, (int socket, void* to, size_t size, int flags, sockaddr* from, socklen_t* from_size), (socket, to, size, flags, from, from_size), taken(to, size), taken(from, length_at(from_size), whole_buffer), taken(from_size, sizeof *from_size, whole_buffer))
CALL(ssize_t, __recvfrom_chk, (int socket, void* to, size_t size, size_t room, int flags, sockaddr* from, socklen_t* from_size), (socket, to, size, room, flags, from, from_size), taken(to, size), taken(from, length_at(from_size), whole_buffer), taken(from_size, sizeof *from_size, whole_buffer))
CALL(ssize_t, recvmsg, (int socket, msghdr* one, int flags), (socket, one, flags), taken_message(one))
CALL(int, recvmmsg, (int socket, mmsghdr* first, unsigned count, int flags, struct timespec* timeout), (socket, first, count, flags, timeout), taken_messages(first, count), taken(timeout, sizeof *timeout, whole_buffer))
CALL(int, mq_send, (mqd_t queue, const char* from, size_t size, unsigned priority), (queue, from, size, priority), in(from, size))
CALL(int, mq_timedsend, (mqd_t queue, const char* from, size_t size, unsigned priority, const struct timespec* until), (queue, from, size, priority, until), in(from, size), in(until))
CALL(ssize_t, mq_receive, (mqd_t queue, char* to, size_t size, unsigned* priority), (queue, to, size, priority), taken(to, size), taken(priority, sizeof *priority, whole_buffer))
CALL(ssize_t, mq_timedreceive, (mqd_t queue, char* to, size_t size, unsigned* priority, const struct timespec* until), (queue, to, size, priority, until), taken(to, size), taken(priority, sizeof *priority, whole_buffer), in(until))
CALL(int, msgsnd, (int queue, const void* from, size_t size, int flags), (queue, from, size, flags), in(from, sizeof(long) + size))
CALL(ssize_t, msgrcv, (int queue, void* to, size_t size, long type, int flags), (queue, to, size, type, flags), taken(to, sizeof(long) + size, {.unit = 1, .more = sizeof(long)}))
// clang-format on
