// Files that tell of signals (signalfd) and of changes in folders (inotify). What a read takes off
// their queues is gone, so none of it may be lost, or come twice.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "rows.hpp"

using namespace rows;

namespace {

// Queues signals for the row's thread, which blocks them, each with a value.
class Queued {
 public:
  Queued() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before_);
  }
  ~Queued() {
    const timespec none = {};
    sigset_t set;
    sigfillset(&set);
    while (sigtimedwait(&set, nullptr, &none) > 0) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Queued(const Queued&) = delete;
  Queued& operator=(const Queued&) = delete;
  void add(int signal, int value) const {
    sigval with;
    with.sival_int = value;
    if (pthread_sigqueue(thread_, signal, with) != 0) say("not queued");
  }

 private:
  const pthread_t thread_ = pthread_self();
  sigset_t before_ = {};
};

sigset_t* put_set(int signal) {
  auto* const set = put(sigset_t{});
  sigaddset(set, signal);
  return set;
}
void show(const signalfd_siginfo& record) {
  say("%d:%d", record.ssi_signo == static_cast<std::uint32_t>(SIGRTMIN), record.ssi_int);
}

// A folder of its own, and what happens in it.
class Folder {
 public:
  Folder() {
    if (mkdtemp(path_) == nullptr) say("no folder");
  }
  ~Folder() { rmdir(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const char* path() const { return path_; }
  void make(const char* name) const {
    const std::string file = std::string(path_) + '/' + name;
    close(open(file.c_str(), O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
    unlink(file.c_str());
  }
  void make_folder(const char* name) const {
    const std::string inner = std::string(path_) + '/' + name;
    if (mkdir(inner.c_str(), 0700) != 0) say("no folder");
  }
  void remove_folder(const char* name) const { rmdir((std::string(path_) + '/' + name).c_str()); }

 private:
  char path_[32] = "/tmp/sluice-rows-XXXXXX";
};

int watch(const Folder& folder) {
  const int file = inotify_init1(IN_CLOEXEC);
  if (inotify_add_watch(file, folder.path(), IN_CREATE | IN_DELETE) < 0) say("no watch");
  return file;
}
// The events in so many bytes: what happened, and to whom.
void show(const char* bytes, long size) {
  for (long at = 0; at < size;) {
    const auto* const event = reinterpret_cast<const inotify_event*>(bytes + at);
    say("%x:%s", event->mask, event->name);
    at += static_cast<long>(sizeof *event + event->len);
  }
}
constexpr std::size_t room = 4096;

// A read of `size` bytes to one place, or to two.
long read_in(bool parts, int file, void* to, std::size_t size) {
  char* const bytes = static_cast<char*>(to);
  if (!parts) return read(file, to, size);
  auto* const list = put(iovec{}, 2);
  list[0] = {bytes, size / 2};
  list[1] = {bytes + size / 2, size - size / 2};
  away();
  return readv(file, list, 2);
}

}  // namespace

ROW("signalfd") {
  const Queued queued;
  for (const int value : {1, 2, 3}) queued.add(SIGRTMIN, value);
  sigset_t* set = put_set(SIGUSR1);
  away();
  const int file = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
  set = put_set(SIGRTMIN);
  away();
  result(signalfd(file, set, 0) == file ? 0 : -1);  // other signals from now on
  auto* const records = put(signalfd_siginfo{}, 2);
  for (int time = 0; time < 3; ++time) {  // two, one, none
    away();
    result(read(file, records, 2 * sizeof *records));
    show(records[0]);
    show(records[1]);
  }
  away();
  result(read(file, records, sizeof *records - 1));  // less than one
  close(file);
}
// The page leaves when the guard has brought it and calls on, and while the call waits.
ROW("signalfd") {
  const Queued queued;
  const int file = signalfd(-1, put_set(SIGRTMIN), SFD_CLOEXEC);
  for (const bool parts : {false, true}) {
    for (const int value : {7, 8, 9}) queued.add(SIGRTMIN, value);
    auto* const records = put_late(signalfd_siginfo{}, 2);
    away();
    result(read_in(parts, file, records, 2 * sizeof *records));
    show(records[0]);
    show(records[1]);
    away();
    result(read_in(parts, file, records, 2 * sizeof *records));
    show(records[0]);
    away();
    const DuringCall during(parts ? SYS_readv : SYS_read, [&] { queued.add(SIGRTMIN, 10); });
    result(read_in(parts, file, records, 2 * sizeof *records));
    show(records[0]);
  }
  close(file);
}
ROW("inotify_init1") {
  const Folder folder;
  const int file = watch(folder);
  folder.make("a");
  folder.make("a-longer-name");
  auto* const few = letters('o', sizeof(inotify_event));
  away();
  result(read(file, few, sizeof(inotify_event)));  // too little for a name
  char* const events = letters('o', room);
  away();
  const long got = read(file, events, room);
  result(got);
  show(events, got);
  say("%d", is_all(events + got, 'o', 64));
  close(file);
}
ROW("inotify_init1") {
  const Folder folder;
  const int file = watch(folder);
  for (const bool parts : {false, true}) {
    folder.make("b");
    char* const events = letters_late('o', room);
    away();
    long got = read_in(parts, file, events, room);
    result(got);
    show(events, got);
    away();
    const DuringCall during(parts ? SYS_readv : SYS_read, [&] { folder.make_folder("c"); });
    got = read_in(parts, file, events, room);
    result(got);
    show(events, got);
    folder.remove_folder("c");
  }
  close(file);
}
