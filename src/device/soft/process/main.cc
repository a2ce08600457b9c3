// sluice-soft-device: the software GPU's process. One for each device and client; only libsluice
// starts it.
//
//   sluice-soft-device WINDOW_BEGIN WINDOW_SIZE NUMBER [ATTEMPT]      with the client's socket as descriptor 3, and as
//                                                                     descriptor 4 a pipe that ends with the client
//
//  1. It reserves the managed addresses, before anything else can be placed there. If address-space
//     randomisation has put something in the way, it starts itself again.
//  2. It gets its settings and memory files from the client, starts a thread for each ring, and
//     answers requests.
//  3. It ends when the client does, however that happens: a thread of its own watches the client's
//     pidfd, the socket and the pipe, also while everything else is busy; and the end of the pipe is
//     a SIGKILL (child.cc).
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

#include "device/device.hpp"
#include "device/soft/process/device_process.hpp"
#include "device/soft/process/fault_in_handler.hpp"
#include "os/futex.hpp"

namespace sluice::device::soft::process {
namespace {

constexpr int max_attempts = 8;

using Files = std::array<int, max_message_files>;

DeviceProcess& device() {
  static auto& only = *new DeviceProcess;
  return only;
}

// Answers the request with that serial number; 0 for an unrequested message.
void answer(std::uint64_t serial, MessageKind kind, std::uint64_t a, const std::string& text = {}) {
  Message message;
  message.kind = kind;
  message.a = a;
  message.serial = serial;
  message.text_size = static_cast<std::uint32_t>(std::min(text.size(), Message::text_capacity));
  std::memcpy(message.text.data(), text.data(), message.text_size);
  send_message(socket_in_device, message);
}

[[noreturn]] void give_up(const std::string& why, int error = 0) {
  answer(0, MessageKind::failed, static_cast<std::uint64_t>(error), why);
  _exit(1);
}

// The line of /proc/self/maps that overlaps the window, for the message when it cannot be reserved.
std::string what_is_in(std::uintptr_t begin, std::size_t size) {
  std::string found = "nothing that /proc/self/maps shows (a limit on address space?)";
  std::FILE* maps = std::fopen("/proc/self/maps", "re");
  char line[512];
  while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
    char* end = nullptr;
    const std::uintptr_t low = std::strtoull(line, &end, 16);
    const std::uintptr_t high = std::strtoull(end + 1, nullptr, 16);
    if (low < begin + size && begin < high) found.assign(line, std::strcspn(line, "\n"));
  }
  if (maps != nullptr) std::fclose(maps);
  return found;
}

void reserve_window_or_start_again(char** arguments, int attempt) {
  const std::uintptr_t begin = std::strtoull(arguments[1], nullptr, 16);
  const std::size_t size = std::strtoull(arguments[2], nullptr, 16);
  if (PageTable::reserve(begin, size)) {
    device().page_table.set_window(begin, size);
    return;
  }
  if (attempt < max_attempts) {
    const std::string next = std::to_string(attempt + 1);
    // The client started this program by its absolute path, which serves where /proc is not
    // mounted.
    for (const char* program : {"/proc/self/exe", static_cast<const char*>(arguments[0])})
      execl(program, arguments[0], arguments[1], arguments[2], arguments[3], next.c_str(), nullptr);
  }
  give_up("the managed addresses are taken in the device process by " + what_is_in(begin, size));
}

// Returns only when the client has ended or closed its socket; then nothing of this process may
// stay.
void watch_client(int client) {
  std::array<pollfd, 3> watched{
      {{client, POLLIN, 0}, {socket_in_device, POLLRDHUP, 0}, {lifetime_in_device, 0, 0}}};
  while (poll(watched.data(), watched.size(), -1) < 0)
    if (errno != EINTR)
      return;  // a sandbox refuses it: then the pipe alone ties this process to the client
  _exit(0);
}

void receive_settings() {
  Message message;
  Files files;
  if (!receive_message(socket_in_device, message, &files) || message.kind != MessageKind::start)
    _exit(1);
  DeviceProcess& d = device();
  d.settings = message.settings;
  if (d.settings.number >= host_memory || d.settings.copy_engines > max_copy_engines) _exit(1);
  std::thread(watch_client, files[3]).detach();

  void* control =
      mmap(nullptr, sizeof(ControlArea), PROT_READ | PROT_WRITE, MAP_SHARED, files[0], 0);
  if (!give_handler_stack()) give_up(std::string("sigaltstack: ") + strerrordesc_np(errno));
  if (control == MAP_FAILED)
    give_up(std::string("mmap of the control area: ") + strerrordesc_np(errno));
  close(files[0]);
  if (d.settings.limits_launches != 0 && !d.page_table.make_limits())
    give_up(std::string("address space for the limits of launches: ") + strerrordesc_np(errno));
  d.control = static_cast<ControlArea*>(control);
  if (!d.memories.add(static_cast<std::uint8_t>(d.settings.number), files[1],
                      d.settings.memory_size, 0) ||
      !d.memories.add(host_memory, files[2], d.settings.window_size, 0)) {
    give_up(std::string("mmap of the memories: ") + strerrordesc_np(errno));
  }
}

void start_rings() {
  DeviceProcess& d = device();
  start_mapping_ring(d);
  for (int engine = 0; engine < static_cast<int>(d.settings.copy_engines); ++engine) {
    start_copy_ring(d, first_copy_ring + engine);
  }
}

void find_kernel(const Message& message) {
  const std::string text(message.text.data(), message.text_size);
  const std::size_t cut = text.find('\0');
  std::string error;
  const std::string name = cut == std::string::npos ? "" : text.substr(cut + 1);
  const auto index = device().kernels.find(text.substr(0, cut), name, error);
  if (index)
    answer(message.serial, MessageKind::found, *index);
  else
    answer(message.serial, MessageKind::failed, 0, error);
}

bool is_kernel_ring(std::uint64_t ring) noexcept {
  return ring >= first_kernel_ring && ring < ring_count;
}

void start_queue(const Message& message) {
  if (!is_kernel_ring(message.a)) {
    answer(message.serial, MessageKind::failed, 0, "no ring of kernels");
    return;
  }
  try {
    start_kernel_ring(device(), static_cast<int>(message.a));
    answer(message.serial, MessageKind::found, message.a);
  } catch (const std::system_error& error) {
    answer(message.serial, MessageKind::failed, static_cast<std::uint64_t>(error.code().value()),
           "clone, starting a thread");
  }
}

// The client's slot is filled; only the doorbell is missing, after a check of the memory that the
// launch names.
void dispatch(const Message& message) {
  DeviceProcess& d = device();
  NamedMemory named;
  for (std::size_t at = 0; at + sizeof named <= message.text_size; at += sizeof named) {
    std::memcpy(&named, message.text.data() + at, sizeof named);
    if (d.page_table.covers(named.span.begin.value, named.span.size, named.access)) continue;
    char text[96];
    std::snprintf(text, sizeof text, "%#zx + %zu bytes is not mapped for %s",
                  static_cast<std::size_t>(named.span.begin.value), named.span.size,
                  named.access == Access::read ? "reading" : "writing");
    answer(message.serial, MessageKind::failed, 0, text);
    return;
  }
  if (!is_kernel_ring(message.settings.number)) {
    answer(message.serial, MessageKind::failed, 0, "no ring of kernels");
    return;
  }
  Ring& ring = d.control->rings[message.settings.number];
  ring.tail.store(message.a);
  if (ring.sleeping.load() != 0 && ring.sleeping.exchange(0) != 0)
    os::futex_wake_one(ring.sleeping);
  answer(message.serial, MessageKind::found, message.a);
}

void add_memory(const Message& message, const Files& files) {
  const bool known =
      message.settings.number < memory_count && files[0] >= 0 &&
      device().memories.add(static_cast<std::uint8_t>(message.settings.number), files[0],
                            message.settings.memory_size, static_cast<std::uint32_t>(message.a));
  if (!known) kill_this_process();
}

void serve_requests() {
  Message message;
  Files files;
  while (receive_message(socket_in_device, message, &files)) {
    if (message.kind == MessageKind::find_kernel) {
      find_kernel(message);
    } else if (message.kind == MessageKind::start_queue) {
      start_queue(message);
    } else if (message.kind == MessageKind::dispatch) {
      dispatch(message);
    } else if (message.kind == MessageKind::add_memory) {
      add_memory(message, files);
    }
  }
  _exit(0);
}

int run(int count, char** arguments) {
  if (count < 4) {
    std::fputs(
        "sluice-soft-device is the software GPU of Sluice. Programs that use Sluice start it by "
        "themselves.\n",
        stderr);
    return 2;
  }
  const int attempt = count > 4 ? std::atoi(arguments[4]) : 0;
  reserve_window_or_start_again(arguments, attempt);
  close_range(lifetime_in_device + 1, ~0U, 0);
  try {
    receive_settings();
    install_fault_handlers(device());
    std::atexit([] { device().control->death_cause.store(death_by_exit); });
    start_rings();
    answer(0, MessageKind::ready, layout_version);
    serve_requests();
  } catch (const std::system_error& error) {
    give_up("clone, starting a thread", error.code().value());
  }
  return 0;
}

}  // namespace

Failure obey_plan(const Slot& slot) noexcept {
  switch (slot.planned) {
    case PlannedAction::nothing:
    case PlannedAction::interrupt:
    case PlannedAction::kill:  // the operation itself chooses the worst moment
      return {};
    case PlannedAction::fail:
      return {FailureKind::planned, 0, 0, 0};
    case PlannedAction::slow:
      usleep(slot.planned_ms * 1000);
      return {};
    case PlannedAction::hang:
      for (;;) pause();
  }
  return {};
}

void kill_this_process() noexcept {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

}  // namespace sluice::device::soft::process

int main(int count, char** arguments) {
  return sluice::device::soft::process::run(count, arguments);
}
