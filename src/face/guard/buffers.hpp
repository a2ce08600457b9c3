// What the wrapped calls of libc say about their buffers, so that managed ones are brought to the host before the kernel touches them.
//
//   SLUICE_GUARD_CALL(ssize_t, read, (int file, void* to, size_t size), (file, to, size), out(to, size))
//
// is all there is to say about read(): its type, its parameters (with noexcept, where libc's header says so), the arguments that are
// handed on, and its buffers.
#pragma once

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "face/guard/state.hpp"

namespace sluice::guard {

// Bytes, or structures in which more buffers are named.
struct Buffer {
  enum class Form : std::uint8_t { bytes, parts, message, messages };
  const void* place;
  std::size_t size;  // bytes; or how many iovec, msghdr, mmsghdr
  Form form = Form::bytes;
  bool stores = false;  // the kernel writes into it
  bool takes = false;   // and a failed call may lose what it took off a queue
};

[[nodiscard]] inline Buffer in(const void* from, std::size_t size) noexcept { return {from, size}; }
[[nodiscard]] inline Buffer out(const void* to, std::size_t size) noexcept {
  return {to, size, Buffer::Form::bytes, true};
}
[[nodiscard]] inline Buffer taken(const void* to, std::size_t size) noexcept {
  return {to, size, Buffer::Form::bytes, true, true};
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
[[nodiscard]] inline Buffer message(const msghdr* one, bool stores) noexcept {
  return {one, 1, Buffer::Form::message, stores, stores};
}
[[nodiscard]] inline Buffer messages(const mmsghdr* first, unsigned count, bool stores) noexcept {
  return {first, count, Buffer::Form::messages, stores, stores};
}

[[nodiscard]] inline std::size_t bytes_of(long count, std::size_t each) noexcept {
  return count < 0 ? 0 : static_cast<std::size_t>(count) * each;
}
[[nodiscard]] inline std::size_t bytes_of_set(int count) noexcept {
  return (bytes_of(count, 1) + 63) / 64 * 8;
}

// What a length that goes both ways says now; 0 where there is none.
[[nodiscard]] std::size_t length_at(const socklen_t* place) noexcept;

// Before the call, and after it gave EFAULT: whether a driver had anything to bring.
void bring(const Buffer* buffers, std::size_t count) noexcept;
[[nodiscard]] bool bring_again(const Buffer* buffers, std::size_t count) noexcept;
// Where the call is made out of our sight, later or in libc itself: all of it is touched as well, if a driver needs that.
void bring_whole(const void* place, std::size_t size, bool stores) noexcept;

[[nodiscard]] inline bool has_failed(long result) noexcept { return result == -1; }
[[nodiscard]] inline bool has_failed(const void* result) noexcept { return result == nullptr; }

// Nothing keeps a page from leaving between the bringing and the call (another thread's launch): then the call gives EFAULT after
// all, and is made once more.
template <std::size_t Count, typename Call>
auto with_buffers(const Buffer (&buffers)[Count], Call&& call) {
  constexpr int attempts = 8;
  bring(buffers, Count);
  auto result = call();
  for (int attempt = 0; has_failed(result) && errno == EFAULT && attempt < attempts; ++attempt) {
    const bool came = bring_again(buffers, Count);
    errno = EFAULT;
    if (!came && attempt != 0) break;
    result = call();
  }
  return result;
}

}  // namespace sluice::guard

#define SLUICE_GUARD_CALL(type, name, parameters, arguments, ...)                        \
  SLUICE_GUARD_EXPORT type name parameters {                                             \
    const Buffer buffers[] = {__VA_ARGS__};                                              \
    return with_buffers(buffers, [&]() -> type { return SLUICE_NEXT(name) arguments; }); \
  }
