// Descriptions of the buffers of the wrapped libc calls, so that managed ones are moved to the host
// before the kernel touches them.
//
//   SLUICE_GUARD_CALL(ssize_t, read, (int file, void* to, size_t size), (file, to, size), out(to, size))
//
// fully describes read(): its type, its parameters (with noexcept, where libc's header says so),
// the arguments that are passed on, and its buffers.
#pragma once

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "face/guard/state.hpp"

namespace sluice::guard {

// True if reading removes the bytes from the file: queues, counters, terminals; not regular files
// and disks.
[[nodiscard]] bool gives_once(int file) noexcept;

// The amount that a call wrote, computed from its result: `unit` bytes for each item that it
// counts, plus `more`; or all, if unit is 0.
struct Amount {
  std::size_t unit = 1;
  std::size_t more = 0;
  long from = 0;  // a result below this means that nothing was written
};
constexpr Amount counted = {};                            // read(), recv()
constexpr Amount whole_buffer = {.unit = 0};              // waitid(), accept()'s address
constexpr Amount whole_if_any = {.unit = 0, .from = 1};   // waitpid()'s status
constexpr Amount whole_always = {.unit = 0, .from = -1};  // nanosleep()'s rest, after a signal

// Bytes, or structures in which more buffers are named.
struct Buffer {
  enum class Form : std::uint8_t { bytes, files, parts, message, messages };
  const void* place;
  std::size_t size;  // bytes; or how many pollfd, iovec, msghdr, mmsghdr
  Form form = Form::bytes;
  bool stores = false;  // the kernel writes into it
  // It does so after the effect of the call, so that a failed call cannot be made again: it would
  // lose what was taken off a queue, send twice, or tell of the second call's state.
  bool takes = false;
  const void** parameter = nullptr;  // of those that take: where the call finds the place
  Amount amount = counted;
};

[[nodiscard]] inline Buffer in(const void* from, std::size_t size) noexcept { return {from, size}; }
[[nodiscard]] inline Buffer out(const void* to, std::size_t size) noexcept {
  return {to, size, Buffer::Form::bytes, true};
}
template <typename T>
[[nodiscard]] const void** parameter_of(T*& to) noexcept {
  return static_cast<const void**>(static_cast<void*>(&to));
}
// Of these the argument is the parameter itself, so that another place can be given to the call
// (Bounce).
template <typename T>
[[nodiscard]] Buffer taken(T*& to, std::size_t size, Amount amount = counted) noexcept {
  return {to, size, Buffer::Form::bytes, true, true, parameter_of(to), amount};
}
// Bytes read from a file: they are lost after an EFAULT unless the file can be read again.
template <typename T>
[[nodiscard]] Buffer taken_from(int file, T*& to, std::size_t size) noexcept {
  const bool matters = has_handler_drivers() || is_managed(to, size);
  return matters && gives_once(file) ? taken(to, size) : out(to, size);
}
[[nodiscard]] inline Buffer taken_parts(int file, const iovec*& first, long count) noexcept {
  const bool once = (has_handler_drivers() || has_windows()) && gives_once(file);
  return {first,
          count < 0 ? 0 : static_cast<std::size_t>(count),
          Buffer::Form::parts,
          true,
          once,
          once ? parameter_of(first) : nullptr};
}
// Of poll(): the kernel writes only `revents`, and the rest may be changed meanwhile. More files
// than a process can have are refused.
[[nodiscard]] inline Buffer polled(pollfd*& files, nfds_t count) noexcept {
  constexpr nfds_t most = 1 << 30;
  return {files, count < most ? count : most, Buffer::Form::files, true,
          true,  parameter_of(files),         whole_buffer};
}
template <typename T>
[[nodiscard]] Buffer in(const T* one) noexcept {
  return in(one, sizeof(T));
}
template <typename T>
[[nodiscard]] Buffer out(T* one) noexcept {
  return out(one, sizeof(T));
}
[[nodiscard]] inline Buffer parts(const iovec* first, long count, bool stores) noexcept {
  return {first, count < 0 ? 0 : static_cast<std::size_t>(count), Buffer::Form::parts, stores};
}
[[nodiscard]] inline Buffer message(const msghdr* one) noexcept {
  return {one, 1, Buffer::Form::message};
}
[[nodiscard]] inline Buffer taken_message(msghdr*& one) noexcept {
  return {one, 1, Buffer::Form::message, true, true, parameter_of(one)};
}
// Linux, too, ignores the headers beyond the first UIO_MAXIOV.
[[nodiscard]] inline std::size_t message_count(unsigned count) noexcept {
  return count < UIO_MAXIOV ? count : UIO_MAXIOV;
}
// Of messages that are sent the kernel writes only msg_len, in the headers.
[[nodiscard]] inline Buffer sent_messages(mmsghdr*& first, unsigned count) noexcept {
  return {first, message_count(count), Buffer::Form::messages, false, false, parameter_of(first)};
}
[[nodiscard]] inline Buffer taken_messages(mmsghdr*& first, unsigned count) noexcept {
  return {first, message_count(count), Buffer::Form::messages, true, true, parameter_of(first)};
}

[[nodiscard]] inline std::size_t bytes_of(long count, std::size_t each) noexcept {
  return count < 0 ? 0 : static_cast<std::size_t>(count) * each;
}
[[nodiscard]] inline std::size_t bytes_of_set(int count) noexcept {
  return (bytes_of(count, 1) + 63) / 64 * 8;
}

// The current value of a length that is both input and output; 0 where there is none.
[[nodiscard]] std::size_t length_at(const socklen_t* place) noexcept;

// bring: before the call. bring_again: after it returned EFAULT; true if it may be made again. Not
// so if nothing was moved, since the address is invalid then, or if the kernel could not store what
// it had taken. After the first failure a driver's page may have been moved by another thread.
void bring(const Buffer* buffers, std::size_t count) noexcept;
[[nodiscard]] bool bring_again(const Buffer* buffers, std::size_t count, bool is_first) noexcept;
// For calls made past the guard, later or in libc itself: also touches the whole buffer, if a
// driver needs that.
void bring_whole(const void* place, std::size_t size, bool stores) noexcept;

[[nodiscard]] inline bool has_failed(long result) noexcept { return result == -1; }
[[nodiscard]] inline bool has_failed(const void* result) noexcept { return result == nullptr; }
[[nodiscard]] inline long result_number(long result) noexcept { return result; }
[[nodiscard]] inline long result_number(const void*) noexcept { return 0; }

// A buffer outside managed memory for a call that stores into managed memory after it had its
// effect. If a page of the destination left while the call waits, the kernel would fail after it
// had taken bytes off a queue, and they would be lost; or after it had sent or set something, and
// making the call again would do so twice. So the kernel writes to this buffer, and the bytes are
// copied by ordinary stores. It is used only for writable buffers in windows, up to 16
// MiB; the kernel stores into other memory itself, and refuses invalid addresses.
//
// Cost: a copy; beyond small_size a mapping for the call. A thread that is cancelled in the call,
// or leaves it by siglongjmp(), leaves that mapping behind.
class Bounce {
 public:
  static constexpr std::size_t small_size = 512;
  // Redirects the call's parameters to the bounce buffer, if that is needed.
  Bounce(const Buffer* buffers, std::size_t count, std::byte* small) noexcept;
  Bounce(const Bounce&) = delete;
  Bounce& operator=(const Bounce&) = delete;
  ~Bounce();

  [[nodiscard]] bool is_used() const noexcept { return chosen_ != 0; }
  // After the call: copies the received bytes to their destination, and keeps errno.
  void finish(long result) noexcept;

 private:
  [[nodiscard]] bool is_chosen(std::size_t buffer) const noexcept {
    return (chosen_ >> buffer & 1) != 0;
  }
  void point_at(const Buffer& buffer) noexcept;
  [[nodiscard]] void* take(std::size_t size) noexcept;
  [[nodiscard]] void* copy_of(const void* from, std::size_t size) noexcept;
  [[nodiscard]] iovec* places_for(const iovec* parts, std::size_t count) noexcept;
  [[nodiscard]] msghdr message_beside(const msghdr& from) noexcept;

  const Buffer* buffers_;
  std::size_t count_;
  unsigned chosen_ = 0;  // a bit for each buffer of the call that the kernel is not given
  std::byte* place_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  bool is_mapped_ = false;
};

// Each is lost to another thread's launch only if that comes between two system calls, again and
// again, which a machine that is short of processors may bring about for a while.
[[nodiscard]] inline int most_attempts() noexcept { return has_windows() ? 1000 : 8; }

// A page may leave again before the call (another thread's launch): then the call returns EFAULT
// after all, and is made once more. Results that are stored after the call's effect go through
// Bounce.
template <std::size_t Count, typename Call>
auto with_buffers(const Buffer (&buffers)[Count], Call&& call) {
  bring(buffers, Count);
  std::byte small[Bounce::small_size];
  Bounce bounce(buffers, Count, small);
  auto result = call();
  for (int attempt = 0; has_failed(result) && errno == EFAULT && attempt < most_attempts();
       ++attempt) {
    const bool may_repeat = bring_again(buffers, Count, attempt == 0);
    errno = EFAULT;
    if (!may_repeat) break;
    result = call();
  }
  if (bounce.is_used()) bounce.finish(has_failed(result) ? -1 : result_number(result));
  return result;
}

}  // namespace sluice::guard

#define SLUICE_GUARD_CALL(type, name, parameters, arguments, ...)                        \
  SLUICE_GUARD_EXPORT type name parameters {                                             \
    const Buffer buffers[] = {__VA_ARGS__};                                              \
    return with_buffers(buffers, [&]() -> type { return SLUICE_NEXT(name) arguments; }); \
  }
