// Starts device processes and communicates with them over their socket.
//
// Starting costs about 2 ms, nearly all of it exec and the dynamic loader. The process gets its
// socket as descriptor 3 and everything else through it; every descriptor here is close-on-exec, so
// other programs that the application starts inherit nothing, and the process closes descriptors
// that the application leaks to it.
//
// Descriptor 4 ties its life to this process. A process that is stopped (SIGSTOP) runs nothing, so
// it cannot see its client end; and PR_SET_PDEATHSIG follows a thread of a parent, which this
// process is not. But Linux sends the owner of a pipe's reading end a signal when the last writer
// is gone, if it is asked to (O_ASYNC, F_SETOWN_EX, F_SETSIG; fcntl(2)), and SIGKILL ends even a
// stopped process. The only writer is this process: a child that it forks closes its copy before
// fork returns (os/owned_fd.hpp), and keeps it only if it was made by _Fork() or a raw clone, which
// run no handlers.
#include "device/soft/child.hpp"

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
#include <optional>
#include <vector>

#include "device/soft/control_area.hpp"
#include "device/soft/process_end.hpp"
#include "device/soft/programs.hpp"
#include "os/environment.hpp"
#include "os/errors.hpp"
#include "os/new_descriptors.hpp"
#include "os/poll_files.hpp"
#include "os/shared_child.hpp"

namespace sluice::device::soft {
namespace {

// The environment of the new process: ours without the variables that are meant for the application
// alone, and empty if the application has raised rights, because the process could end up with more
// rights than Linux then marks.
std::vector<char*> environment_for_device() {
  constexpr std::array<std::string_view, 3> dropped{
      "LD_PRELOAD=", "LD_AUDIT=", "SLUICE_FAULT_PLAN="};
  std::vector<char*> kept;
  for (char** entry = os::whole_environment(); *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool keep = true;
    for (const auto& name : dropped) keep = keep && !text.starts_with(name);
    if (keep) kept.push_back(*entry);
  }
  kept.push_back(nullptr);
  return kept;
}

// posix_spawn from a helper that ends at once (os/shared_child.hpp), so that the new process has no
// parent here: SIGCHLD, wait() and everything that counts children stay the application's.
struct Spawn {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const posix_spawn_file_actions_t* actions;
  const posix_spawnattr_t* attributes;
  int lifetime;  // the pipe's reading end
  pid_t process = -1;
  int pidfd = -1;
  int error = 0;
  // The call that failed; posix_spawn does not report which of its system calls was refused.
  const char* call = "posix_spawn (clone, close, dup2, setsid, execve)";
};

// The helper's frames never return, so AddressSanitizer would keep their redzones for the next
// mapping at this address.
#define SLUICE_NEVER_RETURNS __attribute__((no_sanitize("address")))

SLUICE_NEVER_RETURNS bool tie(int lifetime, pid_t process) noexcept {
  const f_owner_ex owner{F_OWNER_PID, process};
  return fcntl(lifetime, F_SETOWN_EX, &owner) == 0 && fcntl(lifetime, F_SETSIG, SIGKILL) == 0 &&
         fcntl(lifetime, F_SETFL, O_RDONLY | O_NONBLOCK | O_ASYNC) == 0;
}

// The process is this helper's child, so its pid stays valid as long as the helper lives.
SLUICE_NEVER_RETURNS int run_helper(void* argument) {
  auto& spawn = *static_cast<Spawn*>(argument);
  spawn.error = posix_spawn(&spawn.process, spawn.program, spawn.actions, spawn.attributes,
                            spawn.arguments, spawn.environment);
  if (spawn.error == 0) {
    spawn.pidfd = static_cast<int>(syscall(SYS_pidfd_open, spawn.process, 0));
    if (spawn.pidfd < 0 || !tie(spawn.lifetime, spawn.process)) {
      spawn.error = errno;
      spawn.call = spawn.pidfd < 0 ? "pidfd_open" : "fcntl";
      kill(spawn.process, SIGKILL);
      // Else a process that adopts orphans would get it from this helper.
      syscall(SYS_wait4, spawn.process, nullptr, 0, nullptr);
    }
  }
  // Not _exit: the sanitizers intercept that and would report on the application.
  syscall(SYS_exit_group, 0);
  return 0;
}

// The descriptor under a number different from those that the process is given.
Result<os::OwnedFd> out_of_the_way(os::OwnedFd file) {
  if (file.get() > lifetime_in_device) return file;
  const os::NewDescriptors making;
  os::OwnedFd moved(fcntl(file.get(), F_DUPFD_CLOEXEC, lifetime_in_device + 1));
  if (!moved.is_open()) return os::call_failed(errno, "fcntl F_DUPFD_CLOEXEC");
  return moved;
}

struct NewProcess {
  os::OwnedFd pidfd;
  pid_t process;
};

Result<NewProcess> spawn(const std::string& program, const Settings& settings, AddressSpan window,
                         int socket, int lifetime) {
  std::array<char, 32> begin{}, size{}, number{};
  std::snprintf(begin.data(), begin.size(), "%zx", static_cast<std::size_t>(window.begin.value));
  std::snprintf(size.data(), size.size(), "%zx", window.size);
  std::snprintf(number.data(), number.size(), "%u", settings.number);
  const std::array<char*, 5> arguments{const_cast<char*>(program.c_str()), begin.data(),
                                       size.data(), number.data(), nullptr};
  const std::vector<char*> environment = environment_for_device();

  const os::NewDescriptors making;
  os::OwnedFd opened(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!opened.is_open()) return os::call_failed(errno, "open /dev/null, for the device process");
  SLUICE_ASSIGN(nothing, out_of_the_way(std::move(opened)));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  int error = 0;
  const auto add =
      [&error](int refused) {  // an action that there is no memory for must not be left out
        if (error == 0) error = refused;
      };
  add(posix_spawn_file_actions_adddup2(&actions, nothing.get(), STDIN_FILENO));
  // Output of a kernel must not go into one of the process's own descriptors, which would get the
  // number of one that is closed, or closed on exec.
  for (const int standard : {STDOUT_FILENO, STDERR_FILENO})
    if (const int flags = fcntl(standard, F_GETFD); flags < 0 || (flags & FD_CLOEXEC) != 0)
      add(posix_spawn_file_actions_adddup2(&actions, nothing.get(), standard));
  add(posix_spawn_file_actions_adddup2(&actions, socket, socket_in_device));
  add(posix_spawn_file_actions_adddup2(&actions, lifetime, lifetime_in_device));
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
  Spawn spawn{program.c_str(), arguments.data(), environment.data(),
              &actions,        &attributes,      lifetime};
  if (error == 0) {
    constexpr std::size_t stack_size = 256 * 1024;
    const os::SharedChildEnd helper = os::run_in_shared_child(run_helper, &spawn, stack_size);
    if (helper.call != nullptr) spawn.call = helper.call;
    error = helper.call != nullptr ? helper.error : spawn.error;
  }
  os::OwnedFd pidfd(spawn.pidfd);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    return os::start_failed(error, (std::string(spawn.call) + " to start " + program).c_str());
  return NewProcess{std::move(pidfd), spawn.process};
}

// A killed process ends within moments, but for a machine that is short of processors.
constexpr std::chrono::milliseconds collect_limit{2000};

// Refused by a sandbox, and not because of the state of the process at the other end.
bool is_refused(int error) noexcept { return error == EPERM || error == ENOSYS; }

// The failure that a device process has reported.
tl::unexpected<Error> reported_failure(const Message& message) {
  const std::string why =
      "the device process: " + std::string(message.text.data(), message.text_size);
  if (message.a != 0) return os::start_failed(static_cast<int>(message.a), why.c_str());
  return fail(ErrorCode::system, "%s", why.c_str());
}

// Waits until poll(2) reports a descriptor, or that the process has ended, if its pidfd is given;
// false if the time is over. The socket alone would not tell the end where a sandbox refuses
// close(2): this process then holds the other end as well.
bool await_events(int file, short events, const Deadline& until, int pidfd = -1) noexcept {
  for (;;) {
    std::array<pollfd, 2> polled{{{file, events, 0}, {pidfd, POLLIN, 0}}};
    const int count = os::poll_files(polled.data(), polled.size(), until.poll_timeout());
    if (count > 0 || (count < 0 && errno != EINTR)) return true;
    if (count == 0 && until.has_passed()) return false;
  }
}

}  // namespace

Child::~Child() {
  siginfo_t ended;
  if (pidfd_.is_intact())
    static_cast<void>(waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &ended, WEXITED | WNOHANG));
}

Result<void> Child::start(const Settings& settings, AddressSpan window, const Files& files,
                          std::chrono::milliseconds limit) {
  SLUICE_ASSIGN(program, find_device_program());
  program_ = program;
  const Deadline until = Deadline::after(limit);
  std::array<int, 2> ends{}, pipe_ends{};
  std::optional<os::NewDescriptors> making(std::in_place);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return os::call_failed(errno, "socketpair");
  os::OwnedFd ours(ends[0]), theirs(ends[1]);
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) return os::call_failed(errno, "pipe2");
  os::OwnedFd reading(pipe_ends[0]), writing(pipe_ends[1]);
  for (os::OwnedFd* file : {&ours, &theirs, &reading, &writing}) {
    SLUICE_ASSIGN(moved, out_of_the_way(std::move(*file)));
    *file = std::move(moved);
  }
  socket_ = std::move(ours);
  lifetime_ = std::move(writing);
  making.reset();
  SLUICE_ASSIGN(started, spawn(program, settings, window, theirs.get(), reading.get()));
  pidfd_ = std::move(started.pidfd);
  process_ = started.process;
  theirs.reset();
  const pid_t own = getpid();
  if (own < 0) return os::call_failed(errno, "getpid");
  making.emplace();
  const os::OwnedFd self(static_cast<int>(syscall(SYS_pidfd_open, own, 0)));
  making.reset();
  if (!self.is_open()) return os::call_failed(errno, "pidfd_open");
  Message message;
  message.kind = MessageKind::start;
  message.settings = settings;
  const std::array passed{files.control, files.memory, files.host, self.get()};
  // A process that could not reserve the window has sent the reason and exited; its message is
  // still to be read.
  if (!send(message, passed, until) && is_refused(errno)) return os::call_failed(errno, "sendmsg");
  auto ready = receive_ready(until);
  if (!ready) {
    kill();
    static_cast<void>(
        collect_end(pidfd_.get(), process_, collect_limit));  // the destructor does not wait
  }
  return ready;
}

Result<void> Child::receive_ready(const Deadline& until) {
  if (!await_events(socket_.get(), POLLIN, until, pidfd_.get()))
    return fail(ErrorCode::timed_out, "the device process does not answer at its start");
  Message message;
  errno = 0;
  if (!receive_message(socket_.get(), message, nullptr, MSG_DONTWAIT)) {
    if (is_refused(errno)) return os::call_failed(errno, "recvmsg");
    return fail(ErrorCode::system,
                "the device process ended at its start%s; what its loader says of that is on "
                "stderr (does a sandbox refuse a call that every program makes then: openat, read, "
                "pread64, fstat, mmap, mprotect, close?)",
                collect_end(pidfd_.get(), process_, collect_limit).c_str());
  }
  if (message.kind == MessageKind::failed) {
    return reported_failure(message);
  }
  if (message.kind != MessageKind::ready || message.a != layout_version) {
    return fail(ErrorCode::system, "sluice-soft-device is of another version than this library");
  }
  return {};
}

// Never waits in sendmsg: a stopped process receives nothing, and the socket holds few messages.
bool Child::send(const Message& message, std::span<const int> files,
                 const Deadline& until) const noexcept {
  // The program may have put another file in the socket's place, which must not be written to.
  if (!socket_.is_intact()) return false;
  while (!send_message(socket_.get(), message, files, MSG_DONTWAIT)) {
    if (errno != EAGAIN || !await_events(socket_.get(), POLLOUT, until)) return false;
  }
  return true;
}

bool Child::is_cut_off() const noexcept {
  return (socket_.is_open() && !socket_.is_intact()) ||
         (lifetime_.is_open() && !lifetime_.is_intact());
}

Error Child::gone() const noexcept {
  return {ErrorCode::device_lost, "the device process has ended%s",
          is_cut_off() ? ": the program closed descriptors of this library" : ""};
}

Result<Message> Child::ask(Message& question, std::chrono::milliseconds limit) {
  const MutexLock lock(requests_);
  const Deadline until = Deadline::after(limit);
  question.serial = ++questions_;
  if (!send(question, {}, until) && !until.has_passed()) {
    if (is_refused(errno)) return os::call_failed(errno, "sendmsg");
    return tl::unexpected(gone());
  }
  if (!await_events(socket_.get(), POLLIN, until, pidfd_.get())) {
    kill();  // its answer would be taken for that to the next question
    return fail(ErrorCode::timed_out, "the device process did not answer a request and was ended");
  }
  Result<Message> answer{};
  errno = 0;
  if (!receive_message(socket_.get(), *answer, nullptr, MSG_DONTWAIT)) {
    const int error = errno;
    kill();  // where it is gone already that does nothing
    if (is_refused(error)) return os::call_failed(error, "recvmsg");
    return tl::unexpected(gone());
  }
  if (answer->serial != question.serial ||
      (answer->kind != MessageKind::found && answer->kind != MessageKind::failed)) {
    kill();
    return fail(ErrorCode::device_lost,
                "the device process answered a request with something else and was ended");
  }
  return answer;
}

Result<std::uint64_t> Child::find_kernel(std::string_view module, std::string_view name,
                                         std::chrono::milliseconds limit) {
  Message question;
  question.kind = MessageKind::find_kernel;
  std::string path(module);
  if (module.empty()) {
    SLUICE_ASSIGN(builtin, find_builtin_kernels(program_));
    path = std::move(builtin);
  }
  if (path.size() + 1 + name.size() > Message::text_capacity) {
    return fail(ErrorCode::unknown_kernel,
                "a module's path and a kernel's name of %zu bytes; they may have %zu together",
                path.size() + name.size(), Message::text_capacity - 1);
  }
  char* end = std::copy(path.begin(), path.end(), question.text.data());
  *end++ = '\0';
  end = std::copy(name.begin(), name.end(), end);
  question.text_size = static_cast<std::uint32_t>(end - question.text.data());
  SLUICE_ASSIGN(answer, ask(question, limit));
  if (answer.kind == MessageKind::found && answer.a < max_kernels) return answer.a;
  if (answer.kind == MessageKind::found) {
    kill();
    return fail(ErrorCode::device_lost,
                "the device process found kernel number %llu of at most %u and was ended",
                static_cast<unsigned long long>(answer.a), max_kernels);
  }
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
  return reported_failure(answer);
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

bool Child::add_memory(std::uint8_t memory, std::size_t size, std::uint32_t generation, int file,
                       std::chrono::milliseconds limit) noexcept {
  Message message;
  message.kind = MessageKind::add_memory;
  message.a = generation;
  message.settings.number = memory;
  message.settings.memory_size = size;
  if (send(message, {&file, 1}, Deadline::after(limit))) return true;
  kill();
  return false;
}

void Child::kill() const noexcept {
  if (!pidfd_.is_intact() ||
      syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0) == 0 || errno == ESRCH)
    return;
  // A sandbox refuses it. The process ends by itself when it finds its socket closed.
  if (socket_.is_intact()) static_cast<void>(shutdown(socket_.get(), SHUT_RDWR));
}

void Child::await_end(std::chrono::milliseconds limit) const noexcept {
  if (pidfd_.is_intact())
    static_cast<void>(await_events(pidfd_.get(), POLLIN, Deadline::after(limit)));
}

}  // namespace sluice::device::soft
