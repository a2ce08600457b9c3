// A device process that cannot be trusted: it answers its client with what SLUICE_LIE, a seed,
// makes of an answer. Started by soft_trust_test.cc in the place of sluice-soft-device.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <vector>

#include "device/soft/control_area.hpp"
#include "device/soft/messages.hpp"

namespace {

using namespace sluice::device::soft;  // NOLINT(google-build-using-namespace)

std::mt19937_64 lie;

template <typename T>
T one_of(std::initializer_list<T> values) {
  return values.begin()[lie() % values.size()];
}

std::uint64_t near_to(std::uint64_t right) {
  return one_of<std::uint64_t>({right, right, right, 0, 1, right + 1, lie() & 0xfff,
                                lie() & 0xffff'ffff, lie(), ~std::uint64_t{0}});
}

// Says a size that it may not have, is cut short, and brings descriptors that nobody asked for.
void say(std::uint32_t kind, std::uint64_t serial, std::uint64_t a) {
  Message message;
  message.kind = static_cast<MessageKind>(kind);
  message.serial = serial;
  message.a = a;
  for (char& letter : message.text) letter = static_cast<char>(lie());
  const auto text = one_of<std::uint32_t>({0, 0, 1, 100, Message::text_capacity});
  message.text_size =
      one_of<std::uint32_t>({text, text, text, 0, text + 1, static_cast<std::uint32_t>(lie())});
  const std::size_t size = offsetof(Message, text) + text;
  const std::size_t sent = one_of<std::size_t>({size, size, size, size - 1, 8, 0});
  const std::vector<int> files(one_of<std::size_t>({0, 0, 0, 1, 4, 200}), STDIN_FILENO);

  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 200)> control{};
  iovec bytes{&message, sent};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (!files.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(files.size() * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(files.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), files.data(), files.size() * sizeof(int));
  }
  if (sendmsg(socket_in_device, &header, MSG_NOSIGNAL) < 0) _exit(0);
}

}  // namespace

int main() {
  const char* const seed = std::getenv("SLUICE_LIE");
  lie.seed(seed == nullptr ? 0 : std::strtoull(seed, nullptr, 0));
  constexpr auto ready = static_cast<std::uint32_t>(MessageKind::ready);
  constexpr auto found = static_cast<std::uint32_t>(MessageKind::found);
  constexpr auto failed = static_cast<std::uint32_t>(MessageKind::failed);
  const auto any = static_cast<std::uint32_t>(lie());
  // Most are honest at the start, to get to the requests.
  const bool honest = lie() % 10 < 7;
  Message question;
  if (!receive_message(socket_in_device, question)) return 1;
  if (honest) {
    Message start;
    start.kind = MessageKind::ready;
    start.a = layout_version;
    send_message(socket_in_device, start);
  } else {
    say(one_of({ready, failed, found, any}), 0, near_to(layout_version));
  }
  while (receive_message(socket_in_device, question)) {
    for (int left = one_of({0, 1, 1, 1, 2, 12}); left > 0; --left)
      say(one_of({found, found, failed, ready, any}), near_to(question.serial), near_to(3));
    if (lie() % 10 == 0) break;
  }
  if (lie() % 3 == 0) pause();
  return 0;
}
