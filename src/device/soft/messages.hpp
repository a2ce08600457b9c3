// The messages of a client and its device process over their socket: start-up, and the rare
// requests that carry text or descriptors. Everything frequent goes through the rings.
//
// The socket is SOCK_SEQPACKET, so a message arrives whole. Its end of file tells the device that
// the client is gone.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace sluice::device::soft {

// The descriptors that the process inherits besides 0, 1 and 2: the socket, and the reading end of
// a pipe that is never written to. Linux kills the process when the writing end closes, which is
// when the client ends.
constexpr int socket_in_device = 3;
constexpr int lifetime_in_device = 4;

enum class MessageKind : std::uint32_t {
  // client: Settings; descriptors: control area, own memory, host memory, the client's pidfd
  start,
  ready,        // device: a = layout_version
  failed,       // device: text says why; a = errno of a call that starts a thread, or 0
  find_kernel,  // client: text = module, a zero byte, name. Answer: found (a = index) or failed
  found,
  start_queue,  // client: a = ring. Answer: found or failed
  // client: a = value, settings.number = ring, text = NamedMemory x n. Answer: found or failed
  dispatch,
  // client: a = generation, settings: number and size; descriptor: the memory. No answer
  add_memory,
};

struct Settings {
  std::uint64_t window_begin, window_size, memory_size;
  std::uint32_t number, copy_engines, recoverable_faults, spin_us;
  std::uint32_t limits_launches, reserved;
};

struct Message {
  static constexpr std::size_t text_capacity = 5 * 1024;  // a path (4096) and a name

  MessageKind kind{};
  std::uint32_t text_size = 0;
  std::uint64_t a = 0;
  std::uint64_t serial = 0;  // of a question; its answer carries the same
  Settings settings{};
  std::array<char, text_capacity> text;  // only text_size bytes travel

  [[nodiscard]] std::size_t size() const noexcept { return offsetof(Message, text) + text_size; }
};

constexpr std::size_t max_message_files = 4;

// Sends a message and descriptors (which stay open here). False with errno set; `flags` as for
// sendmsg(2).
inline bool send_message(int socket, const Message& message, std::span<const int> files = {},
                         int flags = 0) noexcept {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_message_files)> control{};
  iovec bytes{const_cast<Message*>(&message), message.size()};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (!files.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(files.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(rights), files.data(), files.size_bytes());
  }
  ssize_t sent;
  do sent = sendmsg(socket, &header, MSG_NOSIGNAL | flags);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

// Receives a message; `files` gets its descriptors (close-on-exec), -1 where there is none. Without
// `files` Linux drops any descriptors. False at end of file or error, also for a malformed message.
// `flags` as for recvmsg(2).
inline bool receive_message(int socket, Message& message,
                            std::array<int, max_message_files>* files = nullptr,
                            int flags = 0) noexcept {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_message_files)> control{};
  iovec bytes{&message, sizeof message};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (files != nullptr) {
    files->fill(-1);
    header.msg_control = control.data();
    header.msg_controllen = control.size();
  }
  // A peer that ended with our messages unread makes the next call fail once; its own last messages
  // come after that.
  ssize_t got;
  do got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | flags);
  while (got < 0 && (errno == EINTR || errno == ECONNRESET));
  if (got <= 0) return false;
  for (cmsghdr* part = files != nullptr ? CMSG_FIRSTHDR(&header) : nullptr; part != nullptr;
       part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    std::memcpy(files->data(), CMSG_DATA(part),
                std::min<std::size_t>(part->cmsg_len - CMSG_LEN(0), sizeof *files));
  }
  return static_cast<std::size_t>(got) >= offsetof(Message, text) &&
         static_cast<std::size_t>(got) >= message.size();
}

}  // namespace sluice::device::soft
