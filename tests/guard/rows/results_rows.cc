// Calls with small results and small arguments: files' states, times, limits, identities,
// processes, queues.
#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "rows.hpp"

using namespace rows;

namespace {

// An unlinked file of 1000 bytes.
int file() {
  char path[] = "/tmp/sluice-rows-XXXXXX";
  const int made = mkostemp(path, O_CLOEXEC);
  unlink(path);
  if (ftruncate(made, 1000) != 0) say("no file");
  return made;
}

pid_t child_that_ends_with(int status) {
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) _exit(status);
  return child;
}

bool is(const char* name, const char* other) { return strcmp(name, other) == 0; }

}  // namespace

// --- files and directories -----------------------------------------------------------------------
ROW("stat stat64 lstat lstat64 statfs statfs64") {
  auto* const to = put<struct stat>({});
  static_assert(sizeof(struct stat) >= sizeof(struct statfs));
  auto* const call = function<int(const char*, struct stat*)>(name);
  away();
  result(call("/proc", to));
  const auto* const words = reinterpret_cast<const unsigned char*>(to);
  int used = 0;
  for (std::size_t i = 0; i < sizeof *to; ++i) used += words[i] != 0 ? 1 : 0;
  say("%d", used > 3);
}
ROW("fstat fstat64 fstatfs fstatfs64") {
  auto* const to = put<struct stat>({});
  const int one = file();
  away();
  result(function<int(int, struct stat*)>(name)(one, to));
  if (name[5] != 'f' && name[5] != 's') say("%ld", static_cast<long>(to->st_size));
  close(one);
}
ROW("fstatat fstatat64") {
  auto* const to = put<struct stat>({});
  away();
  result(function<decltype(fstatat)>(name)(AT_FDCWD, "/dev/null", to, 0));
  say("%d", S_ISCHR(to->st_mode));
}
ROW("__xstat __xstat64 __lxstat __lxstat64") {
  auto* const to = put<struct stat>({});
  away();
  result(function<int(int, const char*, struct stat*)>(name)(1, "/dev/null", to));
  say("%d", S_ISCHR(to->st_mode));
}
ROW("__fxstat __fxstat64") {
  auto* const to = put<struct stat>({});
  const int one = file();
  away();
  result(function<int(int, int, struct stat*)>(name)(1, one, to));
  say("%ld", static_cast<long>(to->st_size));
  close(one);
}
ROW("statx") {
  auto* const to = put<struct statx>({});
  const int one = file();
  away();
  result(statx(one, "", AT_EMPTY_PATH, STATX_SIZE, to));
  say("%ld", static_cast<long>(to->stx_size));
  close(one);
}
ROW("readlink __readlink_chk readlinkat __readlinkat_chk") {
  char* const to = letters('o', 100);
  away();
  if (strstr(name, "at") != nullptr)
    result(function<ssize_t(int, const char*, char*, size_t, size_t)>(name)(
               AT_FDCWD, "/proc/self/cwd/../../proc/self", to, 100, 100) > 0);
  else
    result(function<ssize_t(const char*, char*, size_t, size_t)>(name)("/proc/self", to, 100, 100) >
           0);
  say("%d", atoi(to) == getpid() || to[0] == 'o');
}
ROW("getcwd __getcwd_chk") {
  char* const to = letters('o', 4096);
  away();
  say("%d", function<char*(char*, size_t, size_t)>(name)(to, 4096, 4096) == to);
  say("%c", to[0]);
}
ROW("getdents64") {
  auto* const to = put(dirent64{}, 8);
  const int folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  away();
  result(getdents64(folder, to, 8 * sizeof *to) > 0);
  say("%s", to->d_name);
  close(folder);
}
ROW("setxattr getxattr listxattr fsetxattr fgetxattr flistxattr") {
  char path[] = "/tmp/sluice-rows-XXXXXX";
  const int one = mkostemp(path, O_CLOEXEC);
  const char* const value = letters('x', 30);
  away();
  result(name[0] == 'f' ? fsetxattr(one, "user.sluice", value, 30, 0)
                        : setxattr(path, "user.sluice", value, 30, 0));
  char* const to = letters('o', 100);
  away();
  result(name[0] == 'f' ? fgetxattr(one, "user.sluice", to, 100)
                        : getxattr(path, "user.sluice", to, 100));
  say("%.3s", to + 29);
  away();
  result(name[0] == 'f' ? flistxattr(one, to, 100) : listxattr(path, to, 100));
  say("%.11s", to);
  unlink(path);
  close(one);
}
ROW("lsetxattr lgetxattr llistxattr") {
  char path[] = "/tmp/sluice-rows-XXXXXX";
  const int one = mkostemp(path, O_CLOEXEC);
  const char* const value = letters('x', 30);
  away();
  result(lsetxattr(path, "user.sluice", value, 30, 0));
  char* const to = letters('o', 100);
  away();
  result(lgetxattr(path, "user.sluice", to, 100));
  say("%.3s", to + 29);
  away();
  result(llistxattr(path, to, 100));
  unlink(path);
  close(one);
}
ROW("fcntl fcntl64") {
  const int one = file();
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  auto* const lock = put(whole);
  away();
  result(function<int(int, int, ...)>(name)(one, F_SETLK, lock));
  away();
  result(function<int(int, int, ...)>(name)(one, F_GETLK, lock));
  say("%d", lock->l_type == F_UNLCK);
  result(function<int(int, int, ...)>(name)(one, F_GETFD));
  const int other = function<int(int, int, ...)>(name)(one, F_DUPFD_CLOEXEC, 20);
  say("%d", other >= 20);
  close(other);
  close(one);
}

// --- limits, times and timers --------------------------------------------------------------------
ROW("getrlimit setrlimit getrlimit64 setrlimit64") {
  const bool is64 = strstr(name, "64") != nullptr;
  auto* const to = put(rlimit{});
  away();
  result(function<int(int, rlimit*)>(is64 ? "getrlimit64" : "getrlimit")(RLIMIT_CORE, to));
  away();
  result(function<int(int, const rlimit*)>(is64 ? "setrlimit64" : "setrlimit")(RLIMIT_CORE, to));
}
ROW("prlimit prlimit64") {
  auto* const to = put(rlimit{});
  away();
  result(function<int(pid_t, int, const rlimit*, rlimit*)>(name)(0, RLIMIT_CORE, nullptr, to));
  auto* old = put(rlimit{});
  away();
  result(function<int(pid_t, int, const rlimit*, rlimit*)>(name)(0, RLIMIT_CORE, to, old));
  say("%d", old->rlim_max == to->rlim_max);
  // The old limit, also where its page leaves when the new one is set already.
  auto* const set = function<int(pid_t, int, const rlimit*, rlimit*)>(name);
  rlimit before = {};
  getrlimit(RLIMIT_CPU, &before);
  const rlimit first = {70000, before.rlim_max};
  setrlimit(RLIMIT_CPU, &first);
  auto* const second = put(rlimit{80000, before.rlim_max});
  old = put_late(rlimit{});
  away();
  result(set(0, RLIMIT_CPU, second, old));
  say("%d", static_cast<int>(old->rlim_cur));
  setrlimit(RLIMIT_CPU, &before);
}
ROW("getrusage") {
  auto* const to = put(rusage{});
  away();
  result(getrusage(RUSAGE_SELF, to));
  say("%d", to->ru_maxrss > 0);
}
ROW("sysinfo times uname") {
  static_assert(sizeof(struct utsname) >= sizeof(struct sysinfo));
  auto* const to = put(utsname{});
  away();
  result(function<long(void*)>(name)(to) != -1);
  if (is(name, "uname")) say("%s", to->sysname);
}
ROW("setitimer getitimer") {
  auto* const from = put(itimerval{{0, 0}, {1000, 0}});
  auto* const to = put_late(itimerval{});
  away();
  result(setitimer(ITIMER_VIRTUAL, from, nullptr));
  away();
  result(getitimer(ITIMER_VIRTUAL, to));
  say("%d", to->it_value.tv_sec > 900);
  from->it_value.tv_sec = 0;
  away();
  result(setitimer(ITIMER_VIRTUAL, from, to));
  say("%d", to->it_value.tv_sec > 900);
}
ROW("timer_create timer_settime timer_gettime") {
  sigevent silent = {};
  silent.sigev_notify = SIGEV_NONE;
  timer_t* const timer = put(timer_t{});
  auto* const event = put(silent);
  away();
  result(timer_create(CLOCK_MONOTONIC, event, timer));
  auto* const from = put(itimerspec{{0, 0}, {1000, 0}});
  auto* const to = put_late(itimerspec{});
  const timer_t made = *timer;
  away();
  result(timer_settime(made, 0, from, to));
  say("%ld", static_cast<long>(to->it_value.tv_sec));
  away();
  result(timer_gettime(made, to));
  say("%d", to->it_value.tv_sec > 900);
  timer_delete(*timer);
}
ROW("timerfd_settime timerfd_gettime") {
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  auto* const from = put(itimerspec{{0, 0}, {1000, 0}});
  auto* const to = put_late(itimerspec{});
  away();
  result(timerfd_settime(timer, 0, from, to));
  say("%ld", static_cast<long>(to->it_value.tv_sec));
  away();
  result(timerfd_gettime(timer, to));
  say("%d", to->it_value.tv_sec > 900);
  close(timer);
}
ROW("nanosleep clock_nanosleep") {
  auto* const from = put(timespec{0, 1000});
  auto* const to = put(timespec{});
  away();
  result(is(name, "nanosleep") ? nanosleep(from, to)
                               : clock_nanosleep(CLOCK_MONOTONIC, 0, from, to));
  // The rest, where its page left before a signal ends the sleep.
  struct sigaction before = {};
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, &before);
  const pthread_t self = pthread_self();
  *from = {5, 0};
  auto* const rest = put_late(timespec{});
  away();
  {
    const DuringCall during(SYS_clock_nanosleep, [self] { pthread_kill(self, SIGUSR1); });
    result(is(name, "nanosleep") ? nanosleep(from, rest)
                                 : clock_nanosleep(CLOCK_MONOTONIC, 0, from, rest));
  }
  say("%d", rest->tv_sec > 0);
  sigaction(SIGUSR1, &before, nullptr);
}
ROW("futimens utimensat") {
  const int one = file();
  auto* const from = put(timespec{5, 0}, 2);
  away();
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", one);
  result(is(name, "futimens") ? futimens(one, from) : utimensat(AT_FDCWD, path, from, 0));
  struct stat state = {};
  fstat(one, &state);
  say("%ld", static_cast<long>(state.st_mtime));
  close(one);
}

// --- processors and identities -------------------------------------------------------------------
ROW("sched_getaffinity sched_setaffinity pthread_getaffinity_np pthread_setaffinity_np") {
  auto* const set = put(cpu_set_t{});
  const bool of_thread = name[0] == 'p';
  away();
  result(of_thread ? pthread_getaffinity_np(pthread_self(), sizeof *set, set)
                   : sched_getaffinity(0, sizeof *set, set));
  say("%d", CPU_COUNT(set) > 0);
  away();
  result(of_thread ? pthread_setaffinity_np(pthread_self(), sizeof *set, set)
                   : sched_setaffinity(0, sizeof *set, set));
}
ROW("sched_getparam sched_setparam sched_setscheduler sched_rr_get_interval") {
  auto* const one = put(sched_param{7});
  auto* const interval = put(timespec{});
  away();
  result(sched_getparam(0, one));
  say("%d", one->sched_priority);
  away();
  result(is(name, "sched_setscheduler")      ? sched_setscheduler(0, SCHED_OTHER, one)
         : is(name, "sched_rr_get_interval") ? sched_rr_get_interval(0, interval)
                                             : sched_setparam(0, one));
}
ROW("getresuid getresgid") {
  uid_t* const ids = put(uid_t{77777}, 3);
  away();
  result(function<decltype(getresuid)>(name)(ids, ids + 1, ids + 2));
  say("%d", ids[0] == getuid() || ids[0] == getgid());
}
ROW("getgroups") {
  gid_t* const groups = put(gid_t{}, 65536);
  away();
  result(getgroups(65536, groups) >= 0);
}

// --- processes and memory ------------------------------------------------------------------------
ROW("wait waitpid wait3 wait4") {
  const pid_t child = child_that_ends_with(9);
  int* const status = put_late(7);
  auto* const usage = put(rusage{});
  away();
  const pid_t got = is(name, "wait")      ? wait(status)
                    : is(name, "waitpid") ? waitpid(child, status, 0)
                    : is(name, "wait3")   ? wait3(status, 0, usage)
                                          : wait4(child, status, 0, usage);
  say("%d %d", got == child, WEXITSTATUS(*status));
  const pid_t sleeper = fork();
  if (sleeper == 0) {
    pause();
    _exit(0);
  }
  *status = 7;
  away();
  result(waitpid(sleeper, status, WNOHANG));
  say("%d", *status);
  kill(sleeper, SIGKILL);
  away();
  result(waitpid(sleeper, status, 0) == sleeper);
  say("%d", WTERMSIG(*status));
}
ROW("waitid") {
  const pid_t child = child_that_ends_with(11);
  auto* const info = put_late(siginfo_t{});
  away();
  result(waitid(P_PID, static_cast<id_t>(child), info, WEXITED));
  say("%d", info->si_status);
}
ROW("mincore") {
  void* const page = mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  unsigned char* const to = put(static_cast<unsigned char>(9), 2);
  away();
  result(mincore(page, 8192, to));
  say("%d", to[1] & 8);
  munmap(page, 8192);
}
ROW("mlock mlock2") {
  char* const at = letters('l', 30000);
  away();
  result(is(name, "mlock") ? mlock(at, 30000) : mlock2(at, 30000, 0));
  away();
  say("%d", is_all(at, 'l', 30000));
  away();
  result(munlock(at, 30000));
}

// --- queues and semaphores -----------------------------------------------------------------------
ROW("mq_send mq_timedsend mq_receive mq_timedreceive mq_getattr mq_setattr mq_notify") {
  char path[64];
  snprintf(path, sizeof path, "/sluice-rows-%d", getpid());
  mq_attr limits = {};
  limits.mq_maxmsg = 4;
  limits.mq_msgsize = 512;
  const mqd_t queue = mq_open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600, &limits);
  mq_unlink(path);
  const char* const from = letters('q', 300);
  auto* const until = put(timespec{4000000000, 0});
  unsigned* const priority = put_late(0U);
  char* const to = letters_late('o', 512);
  auto* const attributes = put_late(mq_attr{});
  sigevent silent = {};
  silent.sigev_notify = SIGEV_NONE;
  auto* const event = put(silent);
  away();
  if (is(name, "mq_notify")) result(mq_notify(queue, event));
  away();
  result(is(name, "mq_timedsend") ? mq_timedsend(queue, from, 300, 7, until)
                                  : mq_send(queue, from, 300, 7));
  away();
  mq_attr waits_not = {};
  waits_not.mq_flags = O_NONBLOCK;
  auto* const wanted = put(waits_not);
  away();
  result(is(name, "mq_setattr") ? mq_setattr(queue, wanted, attributes)
                                : mq_getattr(queue, attributes));
  say("%ld %ld", attributes->mq_curmsgs, attributes->mq_flags);
  away();
  result(is(name, "mq_timedreceive") ? mq_timedreceive(queue, to, 512, priority, until)
                                     : mq_receive(queue, to, 512, priority));
  say("%d %d %u", is_all(to, 'q', 300), is_all(to + 300, 'o', 212), *priority);
  mq_close(queue);
}
ROW("msgsnd msgrcv msgctl") {
  const int queue = msgget(IPC_PRIVATE, 0600);
  struct Message {
    long type;
    char text[500];
  };
  auto* const from = put(Message{5, {}});
  memset(from->text, 's', sizeof from->text);
  away();
  result(msgsnd(queue, from, 400, 0));
  auto* const to = put_late(Message{1, {}});
  memset(to->text, 'o', sizeof to->text);
  away();
  result(msgrcv(queue, to, sizeof to->text, 0, 0));
  say("%ld %d %d", to->type, is_all(to->text, 's', 400), is_all(to->text + 400, 'o', 100));
  auto* const state = put(msqid_ds{});
  away();
  result(msgctl(queue, IPC_STAT, state));
  say("%d", static_cast<int>(state->msg_qnum));
  msgctl(queue, IPC_RMID, nullptr);
}
ROW("shmctl") {
  const int memory = shmget(IPC_PRIVATE, 5000, 0600);
  auto* const state = put(shmid_ds{});
  away();
  result(shmctl(memory, IPC_STAT, state));
  say("%zu", static_cast<size_t>(state->shm_segsz));
  shmctl(memory, IPC_RMID, nullptr);
}
ROW("semop semtimedop") {
  const int semaphores = semget(IPC_PRIVATE, 1, 0600);
  auto* const operation = put(sembuf{0, 3, 0});
  auto* const limit = put(timespec{5, 0});
  away();
  result(is(name, "semop") ? semop(semaphores, operation, 1)
                           : semtimedop(semaphores, operation, 1, limit));
  result(semctl(semaphores, 0, GETVAL));
  semctl(semaphores, 0, IPC_RMID);
}

// --- asynchronous files --------------------------------------------------------------------------
ROW("aio_read aio_read64 aio_write aio_write64 lio_listio lio_listio64") {
  const int one = file();
  const bool reads = strstr(name, "read") != nullptr;
  char* const bytes = letters('a', 1000);
  aiocb request = {};
  request.aio_fildes = one;
  request.aio_buf = bytes;
  request.aio_nbytes = 1000;
  request.aio_lio_opcode = LIO_WRITE;
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  aiocb* list[] = {&request};
  away();
  if (name[0] == 'l')
    result(function<decltype(lio_listio)>(name)(LIO_WAIT, list, 1, nullptr));
  else
    result(function<int(aiocb*)>(name)(&request));
  aio_suspend(list, 1, nullptr);
  say("%d %zd %d", aio_error(&request), aio_return(&request), bytes[999] == (reads ? 0 : 'a'));
  close(one);
}
