// Walks the stretches of bytes that the buffers of a call consist of: parts of vectors, names and
// control data of messages.
#pragma once

#include "face/guard/buffers.hpp"

namespace sluice::guard {

[[nodiscard]] inline std::uintptr_t place_of(const void* buffer) noexcept {
  return reinterpret_cast<std::uintptr_t>(buffer);
}

template <typename Act>
void for_each_bytes(const Buffer& buffer, Act&& act);

template <typename Act>
void for_each_in_message(const msghdr& message, const Buffer& buffer, Act&& act) {
  act({&message, sizeof message, Buffer::Form::bytes, buffer.stores, buffer.takes});
  act({message.msg_name, message.msg_namelen, Buffer::Form::bytes, buffer.stores, buffer.takes});
  act({message.msg_control, message.msg_controllen, Buffer::Form::bytes, buffer.stores,
       buffer.takes});
  for_each_bytes(
      {message.msg_iov, message.msg_iovlen, Buffer::Form::parts, buffer.stores, buffer.takes}, act);
}

// True if a list of structures is one that Linux would take, and can be read.
template <typename T>
[[nodiscard]] bool is_readable(const T* first, std::size_t count) noexcept {
  return count <= UIO_MAXIOV && try_touch(place_of(first), count * sizeof(T), false);
}

// Structures are read here as the kernel will read them; invalid ones are left to it.
template <typename T, typename Act>
void for_each_of(const Buffer& buffer, Act&& act) {
  if (!is_readable(static_cast<const T*>(buffer.place), buffer.size)) return;
  const auto* const first = static_cast<const T*>(buffer.place);
  for (std::size_t i = 0; i < buffer.size; ++i) act(first[i]);
}

// Calls `act` for every stretch of bytes that a buffer consists of.
template <typename Act>
void for_each_bytes(const Buffer& buffer, Act&& act) {
  switch (buffer.form) {
    case Buffer::Form::bytes:
      return act(buffer);
    case Buffer::Form::files:
      return act({buffer.place, buffer.size * sizeof(pollfd), Buffer::Form::bytes, buffer.stores,
                  buffer.takes});
    case Buffer::Form::parts:
      return for_each_of<iovec>(buffer, [&](const iovec& part) {
        act({part.iov_base, part.iov_len, Buffer::Form::bytes, buffer.stores, buffer.takes});
      });
    case Buffer::Form::message:
      return for_each_of<msghdr>(buffer,
                                 [&](const msghdr& one) { for_each_in_message(one, buffer, act); });
    case Buffer::Form::messages:
      return for_each_of<mmsghdr>(buffer, [&](const mmsghdr& one) {
        act({&one, sizeof one, Buffer::Form::bytes, true, true});  // msg_len
        for_each_in_message(one.msg_hdr, buffer, act);
      });
  }
}

}  // namespace sluice::guard
