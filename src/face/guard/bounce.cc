// Bounce buffers outside managed memory for what the kernel stores after a call's effect: see
// Bounce in buffers.hpp.
//
// Structures that name buffers (iovec, msghdr, mmsghdr) are copied there too, with the places in
// them changed. Small things that a call writes whole or not at all (an address, a status) are
// copied there before, so that copying them back changes no more than the call did. The structures
// are kept as they were, since the bytes that come may lie over them. What it does
// not do: the bytes that are sent, since a send that cannot read them has sent nothing; files that
// can be read again; anything but the headers of sent messages under drivers that added no window.
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>

#include "face/guard/walk.hpp"

namespace sluice::guard {
namespace {

using os::in_handler::raw_call;

constexpr std::size_t largest = std::size_t{16} << 20;
constexpr std::size_t alignment = 16;

constexpr std::size_t rounded(std::size_t size) noexcept {
  return (size + alignment - 1) / alignment * alignment;
}

// Room for the structures that name the bytes is counted with each, generously.
std::size_t room_for(std::size_t size) noexcept {
  return size > largest ? largest + 1 : rounded(size) + rounded(sizeof(mmsghdr)) + alignment;
}
// Other memory is the kernel's to store into, or to refuse; a structure there is small.
std::size_t room_for(const Buffer& bytes) noexcept {
  return room_for(is_managed(bytes.place, bytes.size) ? bytes.size
                                                      : std::min(bytes.size, sizeof(mmsghdr)));
}

// Nothing where the kernel was given the program's own place.
void copy(void* to, const void* from, std::size_t size) noexcept {
  if (size != 0 && to != from) ::memcpy(to, from, size);
}

// Copies the first `bytes` received in `places` to the parts that they stand for.
void scatter(const iovec* parts, const iovec* places, std::size_t count,
             std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < count && bytes != 0; ++i) {
    const std::size_t here = bytes < parts[i].iov_len ? bytes : parts[i].iov_len;
    copy(parts[i].iov_base, places[i].iov_base, here);
    bytes -= here;
  }
}

// `given`: by the program.
void finish_message(msghdr& to, const msghdr& given, const msghdr& beside,
                    std::size_t bytes) noexcept {
  scatter(beside.msg_iov + given.msg_iovlen, beside.msg_iov, given.msg_iovlen, bytes);
  copy(given.msg_name, beside.msg_name, given.msg_namelen);
  copy(given.msg_control, beside.msg_control, given.msg_controllen);
  to.msg_namelen = beside.msg_namelen;
  to.msg_controllen = beside.msg_controllen;
  to.msg_flags = beside.msg_flags;
}

bool is_sent_messages(const Buffer& buffer) noexcept {
  return buffer.form == Buffer::Form::messages && !buffer.stores;
}

// Of messages that are sent, the headers: their bytes are only read.
std::size_t room_for_headers(const Buffer& headers) noexcept {
  const Buffer bytes{headers.place, headers.size * sizeof(mmsghdr)};
  const bool needed = has_handler_drivers() || is_managed(bytes.place, bytes.size);
  return needed && try_touch(place_of(bytes.place), bytes.size, true) ? room_for(bytes.size) : 0;
}

// The results of a message are stored in its header.
bool is_header_writable(const Buffer& buffer) noexcept {
  const std::size_t each = buffer.form == Buffer::Form::message    ? sizeof(msghdr)
                           : buffer.form == Buffer::Form::messages ? sizeof(mmsghdr)
                                                                   : 0;
  return try_touch(place_of(buffer.place), buffer.size * each, true);
}

// The room that a bounce buffer for this one takes; 0 if it needs none, or can have none.
std::size_t room_beside(const Buffer& buffer) noexcept {
  if (buffer.parameter == nullptr || buffer.place == nullptr) return 0;
  if (is_sent_messages(buffer)) return room_for_headers(buffer);
  std::size_t room = 0;
  bool needed = false;
  for_each_bytes(buffer, [&](const Buffer& bytes) {
    room += room_for(bytes);
    needed = needed || is_managed(bytes.place, bytes.size);
  });
  if (!needed || room > largest) return 0;
  bool usable = is_header_writable(buffer);
  for_each_bytes(buffer, [&](const Buffer& bytes) {
    if (is_managed(bytes.place, bytes.size))
      usable = usable && try_touch(place_of(bytes.place), bytes.size, true);
  });
  return usable ? room : 0;
}

}  // namespace

Bounce::Bounce(const Buffer* buffers, std::size_t count, std::byte* small) noexcept
    : buffers_(buffers), count_(count) {
  if (!has_windows() && !has_handler_drivers()) return;
  std::size_t room = 0;
  unsigned chosen = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t more = room_beside(buffers[i]);
    if (more == 0 || room + more > largest) continue;
    room += more;
    chosen |= 1U << i;
  }
  if (chosen == 0) return;
  size_ = room;
  if (room <= small_size) {
    place_ = small;
  } else {
    const long made = raw_call(SYS_mmap, 0, static_cast<long>(room), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made < 0 && made > -4096) return;
    place_ = reinterpret_cast<std::byte*>(made);
    is_mapped_ = true;
  }
  chosen_ = chosen;
  for (std::size_t i = 0; i < count; ++i)
    if (is_chosen(i)) point_at(buffers[i]);
}

Bounce::~Bounce() {
  if (is_mapped_) raw_call(SYS_munmap, reinterpret_cast<long>(place_), static_cast<long>(size_));
}

void* Bounce::take(std::size_t size) noexcept {
  std::byte* const at = place_ + used_;
  used_ += rounded(size);
  return at;
}

void* Bounce::copy_of(const void* from, std::size_t size) noexcept {
  if (from == nullptr) return nullptr;
  void* const at = take(size);
  copy(at, from, size);
  return at;
}

// The places, and behind them the parts that they stand for.
iovec* Bounce::places_for(const iovec* parts, std::size_t count) noexcept {
  auto* const places = static_cast<iovec*>(take(2 * count * sizeof(iovec)));
  copy(places + count, parts, count * sizeof(iovec));
  for (std::size_t i = 0; i < count; ++i) {
    const iovec& part = parts[i];
    places[i] =
        is_managed(part.iov_base, part.iov_len) ? iovec{take(part.iov_len), part.iov_len} : part;
  }
  return places;
}

msghdr Bounce::message_beside(const msghdr& from) noexcept {
  // An invalid list is refused before anything is taken.
  if (!is_readable(from.msg_iov, from.msg_iovlen)) return from;
  msghdr beside = from;
  if (is_managed(from.msg_name, from.msg_namelen))
    beside.msg_name = copy_of(from.msg_name, from.msg_namelen);
  if (is_managed(from.msg_control, from.msg_controllen))
    beside.msg_control = copy_of(from.msg_control, from.msg_controllen);
  beside.msg_iov = places_for(from.msg_iov, from.msg_iovlen);
  return beside;
}

void Bounce::point_at(const Buffer& buffer) noexcept {
  // Headers stand twice: with places beside, and behind those as the program gave them.
  switch (buffer.form) {
    case Buffer::Form::files:
      *buffer.parameter = copy_of(buffer.place, buffer.size * sizeof(pollfd));
      return;
    case Buffer::Form::bytes:
      *buffer.parameter =
          buffer.amount.unit == 0 ? copy_of(buffer.place, buffer.size) : take(buffer.size);
      return;
    case Buffer::Form::parts:
      *buffer.parameter = places_for(static_cast<const iovec*>(buffer.place), buffer.size);
      return;
    case Buffer::Form::message: {
      auto* const beside = static_cast<msghdr*>(take(2 * sizeof(msghdr)));
      beside[1] = *static_cast<const msghdr*>(buffer.place);
      beside[0] = message_beside(beside[1]);
      *buffer.parameter = beside;
      return;
    }
    case Buffer::Form::messages: {
      const auto* const first = static_cast<const mmsghdr*>(buffer.place);
      if (is_sent_messages(buffer)) {
        *buffer.parameter = copy_of(first, buffer.size * sizeof(mmsghdr));
        return;
      }
      auto* const beside = static_cast<mmsghdr*>(take(2 * buffer.size * sizeof(mmsghdr)));
      copy(beside + buffer.size, first, buffer.size * sizeof(mmsghdr));
      for (std::size_t i = 0; i < buffer.size; ++i)
        beside[i] = {message_beside(first[i].msg_hdr), first[i].msg_len};
      *buffer.parameter = beside;
      return;
    }
  }
}

void Bounce::finish(long result) noexcept {
  const int error = errno;
  for (std::size_t i = 0; i < count_; ++i) {
    const Buffer& buffer = buffers_[i];
    if (!is_chosen(i) || result < buffer.amount.from) continue;
    const void* const beside = *buffer.parameter;
    void* const to = const_cast<void*>(buffer.place);
    const std::size_t bytes = static_cast<std::size_t>(result) * buffer.amount.unit;
    switch (buffer.form) {
      case Buffer::Form::bytes: {
        const std::size_t came = buffer.amount.unit == 0 ? buffer.size : bytes + buffer.amount.more;
        copy(to, beside, came < buffer.size ? came : buffer.size);
        break;
      }
      case Buffer::Form::files:
        for (std::size_t n = 0; n < buffer.size; ++n)
          static_cast<pollfd*>(to)[n].revents = static_cast<const pollfd*>(beside)[n].revents;
        break;
      case Buffer::Form::parts: {
        const auto* const places = static_cast<const iovec*>(beside);
        scatter(places + buffer.size, places, buffer.size, bytes);
        break;
      }
      case Buffer::Form::message: {
        const auto* const headers = static_cast<const msghdr*>(beside);
        finish_message(*static_cast<msghdr*>(to), headers[1], headers[0], bytes);
        break;
      }
      case Buffer::Form::messages:
        for (std::size_t n = 0; n < bytes && n < buffer.size; ++n) {
          auto& one = static_cast<mmsghdr*>(to)[n];
          const auto& its = static_cast<const mmsghdr*>(beside)[n];
          if (!is_sent_messages(buffer))
            finish_message(one.msg_hdr, (&its)[buffer.size].msg_hdr, its.msg_hdr, its.msg_len);
          one.msg_len = its.msg_len;
        }
        break;
    }
  }
  errno = error;
}

}  // namespace sluice::guard
