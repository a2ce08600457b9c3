// Calls of libc that hand a buffer to the kernel: what is managed in it is brought to the host first.
//
// In the grades user and signal, as under drivers that protect pages, the kernel itself cannot wait for an access fault: it gives
// EFAULT. So the buffers of the calls below are resolved before they are made: those of a driver that registered, by asking it;
// those of a driver with a handler, by touching the buffer after an EFAULT and making the call again. Calls that take a message off
// a queue might lose it with an EFAULT, so for them the buffer is touched before.
//
// Cost: for buffers that are not managed, one comparison for each driver. Nothing keeps a page from leaving between the resolving
// and the call (another thread's launch); the call then gives EFAULT after all, and is made once more.
// What it does not do: raw system calls, io_uring, O_DIRECT in flight (hold a lease), ioctl, process_vm_readv.
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "face/guard/state.hpp"

namespace sluice::guard {
namespace {

constexpr std::size_t touched_before = std::size_t{64} << 10;
constexpr int attempts = 8;

std::uintptr_t place_of(const void* buffer) noexcept {
  return reinterpret_cast<std::uintptr_t>(buffer);
}

void touch_all(const iovec* buffers, std::size_t count, bool stores, std::size_t limit) noexcept {
  for (std::size_t i = 0; i < count; ++i)
    (void)try_touch(place_of(buffers[i].iov_base),
                    buffers[i].iov_len < limit ? buffers[i].iov_len : limit, stores);
}

// `stores`: the kernel writes into the buffers. `takes`: a failed call may lose what it took.
template <typename Call>
auto with_buffers(const iovec* buffers, std::size_t count, bool stores, bool takes, Call&& call) {
  for (std::size_t i = 0; i < count; ++i)
    resolve_buffer(place_of(buffers[i].iov_base), buffers[i].iov_len, stores);
  if (takes && has_handler_drivers()) touch_all(buffers, count, stores, touched_before);
  auto result = call();
  for (int attempt = 0; result == -1 && errno == EFAULT && attempt < attempts; ++attempt) {
    const unsigned before = answered();
    for (std::size_t i = 0; i < count; ++i)
      resolve_buffer(place_of(buffers[i].iov_base), buffers[i].iov_len, stores);
    touch_all(buffers, count, stores, ~std::size_t{0});
    const bool nothing_came = answered() == before;
    errno = EFAULT;
    if (nothing_came && attempt != 0) break;
    result = call();
  }
  return result;
}

template <typename Call>
auto with_buffer(const void* begin, std::size_t size, bool stores, bool takes, Call&& call) {
  const iovec buffer{const_cast<void*>(begin), size};
  return with_buffers(&buffer, 1, stores, takes, call);
}

std::size_t length(int count) noexcept { return count < 0 ? 0 : static_cast<std::size_t>(count); }

}  // namespace
}  // namespace sluice::guard

using namespace sluice::guard;

#define FORWARD(name, ...) [&] { return SLUICE_NEXT(name)(__VA_ARGS__); }

SLUICE_GUARD_EXPORT ssize_t read(int file, void* to, size_t size) {
  return with_buffer(to, size, true, false, FORWARD(read, file, to, size));
}
SLUICE_GUARD_EXPORT ssize_t pread(int file, void* to, size_t size, off_t at) {
  return with_buffer(to, size, true, false, FORWARD(pread, file, to, size, at));
}
SLUICE_GUARD_EXPORT ssize_t pread64(int file, void* to, size_t size, off64_t at) {
  return with_buffer(to, size, true, false, FORWARD(pread64, file, to, size, at));
}
SLUICE_GUARD_EXPORT ssize_t write(int file, const void* from, size_t size) {
  return with_buffer(from, size, false, false, FORWARD(write, file, from, size));
}
SLUICE_GUARD_EXPORT ssize_t pwrite(int file, const void* from, size_t size, off_t at) {
  return with_buffer(from, size, false, false, FORWARD(pwrite, file, from, size, at));
}
SLUICE_GUARD_EXPORT ssize_t pwrite64(int file, const void* from, size_t size, off64_t at) {
  return with_buffer(from, size, false, false, FORWARD(pwrite64, file, from, size, at));
}
SLUICE_GUARD_EXPORT ssize_t readv(int file, const iovec* to, int count) {
  return with_buffers(to, length(count), true, false, FORWARD(readv, file, to, count));
}
SLUICE_GUARD_EXPORT ssize_t writev(int file, const iovec* from, int count) {
  return with_buffers(from, length(count), false, false, FORWARD(writev, file, from, count));
}
SLUICE_GUARD_EXPORT ssize_t preadv(int file, const iovec* to, int count, off_t at) {
  return with_buffers(to, length(count), true, false, FORWARD(preadv, file, to, count, at));
}
SLUICE_GUARD_EXPORT ssize_t pwritev(int file, const iovec* from, int count, off_t at) {
  return with_buffers(from, length(count), false, false, FORWARD(pwritev, file, from, count, at));
}

SLUICE_GUARD_EXPORT ssize_t send(int socket, const void* from, size_t size, int flags) {
  return with_buffer(from, size, false, false, FORWARD(send, socket, from, size, flags));
}
SLUICE_GUARD_EXPORT ssize_t sendto(int socket, const void* from, size_t size, int flags,
                                   const sockaddr* to, socklen_t to_size) {
  return with_buffer(from, size, false, false,
                     FORWARD(sendto, socket, from, size, flags, to, to_size));
}
SLUICE_GUARD_EXPORT ssize_t sendmsg(int socket, const msghdr* message, int flags) {
  return with_buffers(message->msg_iov, message->msg_iovlen, false, false,
                      FORWARD(sendmsg, socket, message, flags));
}
SLUICE_GUARD_EXPORT ssize_t recv(int socket, void* to, size_t size, int flags) {
  return with_buffer(to, size, true, true, FORWARD(recv, socket, to, size, flags));
}
SLUICE_GUARD_EXPORT ssize_t recvfrom(int socket, void* to, size_t size, int flags, sockaddr* from,
                                     socklen_t* from_size) {
  return with_buffer(to, size, true, true,
                     FORWARD(recvfrom, socket, to, size, flags, from, from_size));
}
SLUICE_GUARD_EXPORT ssize_t recvmsg(int socket, msghdr* message, int flags) {
  return with_buffers(message->msg_iov, message->msg_iovlen, true, true,
                      FORWARD(recvmsg, socket, message, flags));
}
SLUICE_GUARD_EXPORT ssize_t getrandom(void* to, size_t size, unsigned flags) {
  return with_buffer(to, size, true, false, FORWARD(getrandom, to, size, flags));
}

// stdio hands large buffers to the kernel from inside libc. A short count there may have read bytes that are lost, so what it
// is given is resolved and touched before; a store that changes nothing is made to each page of a buffer that is read into.
SLUICE_GUARD_EXPORT size_t fread(void* to, size_t size, size_t count, FILE* file) {
  resolve_buffer(place_of(to), size * count, true);
  if (has_handler_drivers()) (void)try_touch(place_of(to), size * count, true);
  return SLUICE_NEXT(fread)(to, size, count, file);
}
SLUICE_GUARD_EXPORT size_t fwrite(const void* from, size_t size, size_t count, FILE* file) {
  resolve_buffer(place_of(from), size * count, false);
  if (has_handler_drivers()) (void)try_touch(place_of(from), size * count, false);
  return SLUICE_NEXT(fwrite)(from, size, count, file);
}
