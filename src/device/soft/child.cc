// Starts device processes and speaks with them over their socket.
//
// Starting costs about 2 ms, nearly all of it exec and the dynamic loader. The process gets its socket as descriptor 3
// and everything else through it; every descriptor here is close-on-exec, so other programs that the application
// starts inherit nothing, and the process closes what the application leaks to it.
#include "device/soft/child.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "device/soft/control_area.hpp"
#include "os/errors.hpp"

namespace sluice::device::soft {
namespace {

// What the program gets of our environment: everything but what is meant for the application alone.
std::vector<char*> environment_for_device() {
  constexpr std::array<std::string_view, 3> dropped{
      "LD_PRELOAD=", "LD_AUDIT=", "SLUICE_FAULT_PLAN="};
  std::vector<char*> kept;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool keep = true;
    for (const auto& name : dropped) keep = keep && !text.starts_with(name);
    if (keep) kept.push_back(*entry);
  }
  kept.push_back(nullptr);
  return kept;
}

// posix_spawn from a helper process that ends at once, so that the new process has no parent here: SIGCHLD, wait() and
// everything that counts children stay the application's. The helper itself is unseen as well: it is made without an exit
// signal, which hides it from every wait that does not ask for such processes.
//
// The helper shares this process's memory while the calling thread is suspended (CLONE_VM | CLONE_VFORK, as inside posix_spawn
// itself), so nothing is copied, however large the application is.
struct Spawn {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const posix_spawn_file_actions_t* actions;
  const posix_spawnattr_t* attributes;
  int error = 0;
};

int run_helper(void* argument) {
  auto& spawn = *static_cast<Spawn*>(argument);
  pid_t ignored = -1;
  spawn.error = posix_spawn(&ignored, spawn.program, spawn.actions, spawn.attributes,
                            spawn.arguments, spawn.environment);
  // Not _exit: that belongs to the sanitizers, which would report on the application.
  syscall(SYS_exit_group, 0);
  return 0;
}

// glibc's clone by its other name: TSan takes calls of `clone` for forks, which copy memory.
extern "C" int clone_sharing_memory(int (*run)(void*), void* stack, int flags, void* argument,
                                    ...) __asm__("__clone");

int spawn_unseen(Spawn& spawn) {
  constexpr std::size_t stack_size = 256 * 1024;
  void* stack = mmap(nullptr, stack_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return errno;
  // No handler of the application may run in the helper.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int helper = clone_sharing_memory(run_helper, static_cast<char*>(stack) + stack_size,
                                          CLONE_VM | CLONE_VFORK, &spawn);
  const int error = helper < 0 ? errno : spawn.error;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  while (helper > 0 && waitpid(helper, nullptr, __WCLONE) < 0 && errno == EINTR) {
  }
  munmap(stack, stack_size);
  return error;
}

Result<void> spawn(const std::string& program, const Settings& settings, AddressSpan window,
                   int socket) {
  std::array<char, 32> begin{}, size{}, number{};
  std::snprintf(begin.data(), begin.size(), "%zx", static_cast<std::size_t>(window.begin.value));
  std::snprintf(size.data(), size.size(), "%zx", window.size);
  std::snprintf(number.data(), number.size(), "%u", settings.number);
  const std::array<char*, 5> arguments{const_cast<char*>(program.c_str()), begin.data(),
                                       size.data(), number.data(), nullptr};
  const std::vector<char*> environment = environment_for_device();

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, socket, socket_in_device);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own: signals of the terminal are for the application.
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  Spawn spawn{program.c_str(), arguments.data(), environment.data(), &actions, &attributes};
  const int error = spawn_unseen(spawn);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return os::call_failed(error, ("starting " + program).c_str());
  return {};
}

Error gone() { return Error(ErrorCode::device_lost, "the device process has ended"); }

}  // namespace

Result<std::string> find_device_program() {
  const auto runs = [](const std::string& path) { return access(path.c_str(), X_OK) == 0; };
  if (const char* chosen =
          std::getenv("SLUICE_SOFT_DEVICE")) {  // NOLINT(concurrency-mt-unsafe): read only
    if (runs(chosen)) return chosen;
    return fail(ErrorCode::system,
                "SLUICE_SOFT_DEVICE is '%s', which is no program that can be started", chosen);
  }
  Dl_info here{};
  dladdr(reinterpret_cast<const void*>(&find_device_program), &here);
  std::string folder = here.dli_fname != nullptr ? here.dli_fname : "";
  if (std::array<char, 4096> real; realpath(folder.c_str(), real.data()) != nullptr)
    folder = real.data();
  folder.erase(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
  // From bin/ and lib/ of the build tree or of an installed tree, and from folders in them.
  const std::array places{folder + "/../libexec/sluice/sluice-soft-device",
                          folder + "/../../libexec/sluice/sluice-soft-device"};
  for (const std::string& place : places) {
    if (runs(place)) return place;
  }
  return fail(ErrorCode::system,
              "no sluice-soft-device; tried %s and %s (set SLUICE_SOFT_DEVICE to say where it is)",
              places[0].c_str(), places[1].c_str());
}

Result<void> Child::start(const Settings& settings, AddressSpan window, const Files& files,
                          std::chrono::milliseconds limit) {
  SLUICE_ASSIGN(program, find_device_program());
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return os::call_failed(errno, "socketpair");
  socket_ = os::OwnedFd(ends[0]);
  {
    const os::OwnedFd theirs(ends[1]);
    SLUICE_TRY(spawn(program, settings, window, theirs.get()));
  }
  const os::OwnedFd self(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  if (!self.is_open()) return os::call_failed(errno, "pidfd_open");
  Message message;
  message.kind = MessageKind::start;
  message.settings = settings;
  const std::array passed{files.control, files.memory, files.host, self.get()};
  // A process that could not reserve the window has said why and gone; its words are still to be read.
  static_cast<void>(send_message(socket_.get(), message, passed));
  return receive_ready(limit);
}

Result<void> Child::receive_ready(std::chrono::milliseconds limit) {
  pollfd readable{socket_.get(), POLLIN, 0};
  int count;
  do count = poll(&readable, 1, static_cast<int>(limit.count()));
  while (count < 0 && errno == EINTR);
  if (count == 0)
    return fail(ErrorCode::timed_out, "the device process does not answer at its start");
  Message message;
  std::array<int, max_message_files> files;
  if (!receive_message(socket_.get(), message, files))
    return fail(ErrorCode::system, "the device process ended at its start");
  pidfd_ = os::OwnedFd(files[0]);
  if (message.kind == MessageKind::failed) {
    return fail(ErrorCode::system, "the device process: %.*s", static_cast<int>(message.text_size),
                message.text.data());
  }
  if (message.kind != MessageKind::ready || message.a != layout_version || !pidfd_.is_open()) {
    return fail(ErrorCode::system, "sluice-soft-device is of another version than this library");
  }
  return {};
}

Result<Message> Child::ask(const Message& question, std::chrono::milliseconds limit) {
  const MutexLock lock(requests_);
  if (!send_message(socket_.get(), question)) return tl::unexpected(gone());
  pollfd readable{socket_.get(), POLLIN, 0};
  int count;
  do count = poll(&readable, 1, static_cast<int>(limit.count()));
  while (count < 0 && errno == EINTR);
  if (count == 0) {
    kill();  // its answer would be taken for that to the next question
    return fail(ErrorCode::timed_out, "the device process did not answer a request and was ended");
  }
  Result<Message> answer{};
  std::array<int, max_message_files> files;
  if (!receive_message(socket_.get(), *answer, files)) return tl::unexpected(gone());
  return answer;
}

Result<std::uint64_t> Child::find_kernel(std::string_view module, std::string_view name,
                                         std::chrono::milliseconds limit) {
  Message question;
  question.kind = MessageKind::find_kernel;
  if (module.size() + 1 + name.size() > Message::text_capacity) {
    return fail(ErrorCode::unknown_kernel, "a module's path and a kernel's name of %zu bytes",
                module.size() + name.size());
  }
  char* end = std::copy(module.begin(), module.end(), question.text.data());
  *end++ = '\0';
  end = std::copy(name.begin(), name.end(), end);
  question.text_size = static_cast<std::uint32_t>(end - question.text.data());
  SLUICE_ASSIGN(answer, ask(question, limit));
  if (answer.kind == MessageKind::found) return answer.a;
  return fail(ErrorCode::unknown_kernel, "kernel '%.*s' in %.*s: %.*s",
              static_cast<int>(name.size()), name.data(),
              module.empty() ? 20 : static_cast<int>(module.size()),
              module.empty() ? "the built-in kernels" : module.data(),
              static_cast<int>(answer.text_size), answer.text.data());
}

Result<void> Child::start_queue(int ring, std::chrono::milliseconds limit) {
  Message question;
  question.kind = MessageKind::start_queue;
  question.a = static_cast<std::uint64_t>(ring);
  SLUICE_ASSIGN(answer, ask(question, limit));
  if (answer.kind == MessageKind::found) return {};
  return fail(ErrorCode::out_of_host_memory, "the device process: %.*s",
              static_cast<int>(answer.text_size), answer.text.data());
}

Result<void> Child::dispatch(int ring, std::uint64_t value, std::span<const NamedMemory> named,
                             std::chrono::milliseconds limit) {
  if (named.size_bytes() > Message::text_capacity)
    return fail(ErrorCode::invalid_argument, "%zu pieces of memory; a dispatch call names %zu",
                named.size(), Message::text_capacity / sizeof(NamedMemory));
  Message question;
  question.kind = MessageKind::dispatch;
  question.a = value;
  question.settings.number = static_cast<std::uint32_t>(ring);
  question.text_size = static_cast<std::uint32_t>(named.size_bytes());
  std::memcpy(question.text.data(), named.data(), named.size_bytes());
  SLUICE_ASSIGN(answer, ask(question, limit));
  if (answer.kind == MessageKind::found) return {};
  return fail(ErrorCode::invalid_argument, "the dispatch call is refused: %.*s",
              static_cast<int>(answer.text_size), answer.text.data());
}

bool Child::add_memory(std::uint8_t memory, std::size_t size, std::uint32_t generation,
                       int file) noexcept {
  Message message;
  message.kind = MessageKind::add_memory;
  message.a = generation;
  message.settings.number = memory;
  message.settings.memory_size = size;
  return send_message(socket_.get(), message, {&file, 1});
}

void Child::kill() const noexcept {
  if (pidfd_.is_open()) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

void Child::await_end(std::chrono::milliseconds limit) const noexcept {
  if (!pidfd_.is_open()) return;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  while (poll(&ended, 1, static_cast<int>(limit.count())) < 0 && errno == EINTR) {
  }
}

}  // namespace sluice::device::soft
