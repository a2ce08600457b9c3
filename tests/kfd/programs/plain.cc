// A program that makes plain ioctls. Its argument chooses what it does; 0 means that all was as
// Linux has it. It prints a line for each outcome that a test looks for.
#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "kfd_calls.hpp"

namespace {

using namespace kfd_program;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t vram = KFD_IOC_ALLOC_MEM_FLAGS_VRAM | KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE;
constexpr std::uint32_t gtt = KFD_IOC_ALLOC_MEM_FLAGS_GTT | KFD_IOC_ALLOC_MEM_FLAGS_WRITABLE;

// ENOMEM on the third of four, then release: below the plan 'device=2 step=map nth=1 action=fail'.
int enomem() {
  Machine machine;
  EXPECT(machine.gpus() == 4);
  const auto buffer = machine.allocate(1 << 20, vram);
  auto mapping = machine.all_gpus(buffer.handle);
  const int mapped = call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping);
  std::printf("MAP on 4 GPUs: %s, n_success %u\n", strerrorname_np(mapped), mapping.n_success);
  EXPECT(mapped == ENOMEM && mapping.n_success == 2);
  const int released = machine.release(buffer.handle);
  std::printf("FREE at once: %s\n", strerrorname_np(released));
  EXPECT(released == EBUSY);
  auto undone = machine.all_gpus(buffer.handle);
  undone.n_devices = mapping.n_success;
  EXPECT(call(machine.file(), AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &undone) == 0);
  std::printf("UNMAP of the first %u, then FREE: %d\n", undone.n_success,
              machine.release(buffer.handle));
  return 0;
}

// The same, released without a look at n_success; then it stays as it is until stdin ends.
int leak() {
  Machine machine;
  const auto lost = machine.allocate(1 << 20, vram);
  auto mapping = machine.all_gpus(lost.handle);
  EXPECT(call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping) == ENOMEM);
  EXPECT(machine.release(lost.handle) == EBUSY);
  const auto kept = machine.allocate(4096, gtt);
  mapping = machine.all_gpus(kept.handle);
  EXPECT(call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping) == 0);
  std::printf("process %d\n", getpid());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

std::atomic<int> handled{0};
kfd_ioctl_map_memory_to_gpu_args mapping_in_handler;
std::atomic<std::uint32_t> seen_in_handler{0};

void handle(int) {
  ++handled;
  seen_in_handler = mapping_in_handler.n_success;
}

// A signal in the middle of the wait: below the plan 'step=map action=slow=2000'.
int signal(bool restarts) {
  Machine machine;
  const auto buffer = machine.allocate(1 << 20, vram);
  struct sigaction action{};
  action.sa_handler = handle;
  action.sa_flags = restarts ? SA_RESTART : 0;
  EXPECT(sigaction(SIGALRM, &action, nullptr) == 0);
  mapping_in_handler = machine.all_gpus(buffer.handle);
  const auto before = Clock::now();
  const itimerval timer{{0, 0}, {0, 100'000}};
  EXPECT(setitimer(ITIMER_REAL, &timer, nullptr) == 0);
  const int result = call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping_in_handler);
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - before);
  std::printf("MAP: %s, n_success %u, after %s\n", result == 0 ? "0" : strerrorname_np(result),
              mapping_in_handler.n_success, took.count() >= 2000 ? "the whole wait" : "the signal");
  EXPECT(handled == 1 && seen_in_handler == machine.gpus());
  EXPECT(mapping_in_handler.n_success == machine.gpus());
  if (restarts) {
    EXPECT(result == 0 && took.count() >= 2000);
    return 0;
  }
  EXPECT(result == EINTR && took.count() >= 100 && took.count() < 2000);
  // Made again it waits for the rest, and maps nothing again: it would be slow once more.
  EXPECT(call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping_in_handler) == 0);
  const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - before);
  EXPECT(whole.count() >= 2000 && whole.count() < 4000);
  std::printf("MAP again: 0, after the rest of the wait\n");
  return 0;
}

// The memory of buffers is the same through each mapping, and VRAM is what was written.
int memory() {
  Machine machine;
  for (const std::uint32_t kind : {vram, gtt}) {
    const auto buffer = machine.allocate(3 << 20, kind);
    EXPECT(buffer.mmap_offset != 0);
    const auto map_it = [&] {
      void* const at = mmap(nullptr, 3 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, machine.node(0),
                            static_cast<off_t>(buffer.mmap_offset));
      EXPECT(at != MAP_FAILED);
      return static_cast<unsigned char*>(at);
    };
    unsigned char* const first = map_it();
    unsigned char* const second = map_it();
    std::memset(first, 0x5a, 3 << 20);
    EXPECT(second[0] == 0x5a && second[(3 << 20) - 1] == 0x5a);
    EXPECT(munmap(first, 3 << 20) == 0 && munmap(second, 3 << 20) == 0);
    EXPECT(machine.release(buffer.handle) == 0);
  }
  std::vector<char> user(1 << 20);
  kfd_ioctl_alloc_memory_of_gpu_args asked{};
  asked.va_addr = 0x700000000;
  asked.size = user.size();
  asked.gpu_id = *machine.ids();
  asked.flags = KFD_IOC_ALLOC_MEM_FLAGS_USERPTR;
  asked.mmap_offset = reinterpret_cast<std::uintptr_t>(user.data());
  EXPECT(call(machine.file(), AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &asked) == 0);
  asked.mmap_offset = 0x1000;
  EXPECT(call(machine.file(), AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &asked) == EFAULT);
  return 0;
}

// Waits end by a time, by an event of another thread, by a signal.
int events(bool is_interrupted) {
  Machine machine;
  kfd_ioctl_create_event_args created{};
  created.event_type = KFD_IOC_EVENT_SIGNAL;
  created.auto_reset = 1;
  EXPECT(call(machine.file(), AMDKFD_IOC_CREATE_EVENT, &created) == 0);
  kfd_event_data data{};
  data.event_id = created.event_id;
  const auto wait = [&](std::uint32_t timeout, std::uint32_t& result) {
    kfd_ioctl_wait_events_args asked{};
    asked.events_ptr = reinterpret_cast<std::uintptr_t>(&data);
    asked.num_events = 1;
    asked.timeout = timeout;
    const int error = call(machine.file(), AMDKFD_IOC_WAIT_EVENTS, &asked);
    result = asked.wait_result;
    return error;
  };
  const auto set = [&] {
    kfd_ioctl_set_event_args asked{created.event_id, 0};
    EXPECT(call(machine.file(), AMDKFD_IOC_SET_EVENT, &asked) == 0);
  };
  std::uint32_t result = 9;
  if (is_interrupted) EXPECT(wait(20, result) == EINTR && result == KFD_IOC_WAIT_RESULT_FAIL);
  EXPECT(wait(20, result) == 0 && result == KFD_IOC_WAIT_RESULT_TIMEOUT);
  for (int round = 0; round < 200; ++round) {
    std::thread other(set);
    EXPECT(wait(0xffffffff, result) == 0 && result == KFD_IOC_WAIT_RESULT_COMPLETE);
    other.join();
  }
  struct sigaction action{};
  action.sa_handler = handle;
  EXPECT(sigaction(SIGALRM, &action, nullptr) == 0);
  const itimerval timer{{0, 0}, {0, 50'000}};
  EXPECT(setitimer(ITIMER_REAL, &timer, nullptr) == 0);
  EXPECT(wait(60'000, result) == EINTR && result == KFD_IOC_WAIT_RESULT_FAIL);
  return 0;
}

// A copy engine hangs: below the plan 'device=1 step=map action=hang'. The reset is told.
int hang() {
  Machine machine;
  kfd_ioctl_create_event_args created{};
  created.event_type = KFD_IOC_EVENT_HW_EXCEPTION;
  EXPECT(call(machine.file(), AMDKFD_IOC_CREATE_EVENT, &created) == 0);
  kfd_event_data data{};
  data.event_id = created.event_id;
  kfd_ioctl_wait_events_args waiting{};
  waiting.events_ptr = reinterpret_cast<std::uintptr_t>(&data);
  waiting.num_events = 1;
  waiting.timeout = 0xffffffff;
  int waited = -1;
  std::thread waiter([&] { waited = call(machine.file(), AMDKFD_IOC_WAIT_EVENTS, &waiting); });
  const auto buffer = machine.allocate(4096, vram);
  auto mapping = machine.all_gpus(buffer.handle);
  EXPECT(call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping) == 0);
  waiter.join();
  EXPECT(waited == 0 && waiting.wait_result == KFD_IOC_WAIT_RESULT_COMPLETE);
  EXPECT(data.hw_exception_data.gpu_id == machine.ids()[1] &&
         data.hw_exception_data.memory_lost == 1);
  std::printf("the reset of GPU 1 was told\n");
  return 0;
}

// A forked child has no use of its parent's file, and a machine of its own.
int fork_apart() {
  Machine machine;
  const auto buffer = machine.allocate(4096, vram);
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    kfd_ioctl_get_version_args version{};
    EXPECT(call(machine.file(), AMDKFD_IOC_GET_VERSION, &version) == EBADF);
    Machine own;
    EXPECT(call(own.file(), AMDKFD_IOC_GET_VERSION, &version) == 0);
    EXPECT(own.release(buffer.handle) == EINVAL);
    EXPECT(call(machine.file(), AMDKFD_IOC_GET_VERSION, &version) == EBADF);
    _exit(0);
  }
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT(machine.release(buffer.handle) == 0);
  return 0;
}

// A file that is closed, and a process that forks, while a call waits: below the plan
// 'step=map action=slow=300'.
int in_the_middle() {
  Machine machine;
  const auto buffer = machine.allocate(4096, vram);
  const int again = dup(machine.file());
  auto mapping = machine.all_gpus(buffer.handle);
  int mapped = -1;
  std::thread mapper([&] { mapped = call(again, AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping); });
  usleep(100'000);
  const pid_t child = fork();
  if (child == 0) {
    kfd_ioctl_get_version_args version{};
    EXPECT(call(machine.file(), AMDKFD_IOC_GET_VERSION, &version) == EBADF);
    Machine own;  // its calls do not wait for the parent's
    _exit(own.gpus() == machine.gpus() ? 0 : 1);
  }
  close(again);
  close(machine.node(0));
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  mapper.join();
  EXPECT(mapped == 0 && mapping.n_success == machine.gpus());
  kfd_ioctl_get_version_args version{};
  EXPECT(call(again, AMDKFD_IOC_GET_VERSION, &version) == EBADF);
  mapping.n_success = 0;
  EXPECT(call(machine.file(), AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &mapping) == 0);
  EXPECT(machine.release(buffer.handle) == 0);
  // The last file of /dev/kfd: what the process has stays, as in Linux, until it ends.
  const auto kept = machine.allocate(4096, vram);
  close(machine.file());
  const int opened = open("/dev/kfd", O_RDWR);
  kfd_ioctl_free_memory_of_gpu_args asked{kept.handle};
  EXPECT(call(opened, AMDKFD_IOC_FREE_MEMORY_OF_GPU, &asked) == 0);
  return 0;
}

// The device files look like devices, and nothing else has changed.
int files() {
  Machine machine;
  struct stat status{};
  EXPECT(stat("/dev/kfd", &status) == 0 && S_ISCHR(status.st_mode));
  EXPECT(fstat(machine.node(0), &status) == 0 && S_ISCHR(status.st_mode));
  EXPECT(status.st_rdev == makedev(226, 128));
  const int again = dup(machine.file());
  kfd_ioctl_get_version_args version{};
  EXPECT(call(again, AMDKFD_IOC_GET_VERSION, &version) == 0 && version.minor_version == 11);
  EXPECT(access("/dev/dri/renderD128", R_OK | W_OK) == 0);
  EXPECT(open("/dev/dri/renderD192", O_RDWR) < 0 && errno == ENOENT);
  EXPECT(stat("/proc/self", &status) == 0 && S_ISDIR(status.st_mode));
  DIR* const folder = opendir("/sys/devices/virtual/kfd/kfd/topology/nodes");
  EXPECT(folder != nullptr);
  std::uint32_t nodes = 0;
  while (const dirent* const entry = readdir(folder)) nodes += entry->d_name[0] != '.';
  EXPECT(nodes == machine.gpus() + 1);
  int socket[2];
  EXPECT(pipe(socket) == 0);
  int ready = -1;
  EXPECT(ioctl(socket[0], FIONREAD, &ready) == 0 && ready == 0);
  EXPECT(call(socket[0], AMDKFD_IOC_GET_VERSION, &version) == ENOTTY);
  return 0;
}

// Any request with any bytes and pointers: the process goes on, and its accounts are right at last.
int fuzz() {
  Machine machine;
  kfd_ioctl_get_available_memory_args before{};
  before.gpu_id = *machine.ids();
  EXPECT(call(machine.file(), AMDKFD_IOC_AVAILABLE_MEMORY, &before) == 0);
  std::mt19937_64 random(20261201);
  alignas(8) static unsigned char bytes[1 << 14];
  const std::uint64_t interesting[] = {0,
                                       1,
                                       4096,
                                       0x1000000,
                                       ~0ULL,
                                       1ULL << 47,
                                       1ULL << 63,
                                       reinterpret_cast<std::uintptr_t>(bytes),
                                       *machine.ids()};
  for (int round = 0; round < 100'000; ++round) {
    for (std::size_t at = 0; at < 64; at += 8) {
      const std::uint64_t word = random() % 3 != 0 ? interesting[random() % 9] : random();
      std::memcpy(bytes + at, &word, 8);
    }
    const unsigned long size = random() % 4 == 0 ? random() % (1 << 14) : random() % 80;
    const unsigned long number = random() % 0x28;
    const unsigned long way = random() % 4;
    // A wait may only be short: its timeout is the third word's half.
    if (number == 0x0c) std::memset(bytes + 16, 0, 4);
    const unsigned long request =
        way << 30 | size << 16 | static_cast<unsigned long>('K') << 8 | number;
    void* const arguments =
        random() % 16 == 0 ? reinterpret_cast<void*>(interesting[random() % 9]) : bytes;
    (void)ioctl(random() % 8 == 0 ? machine.node(0) : machine.file(), request, arguments);
  }
  kfd_ioctl_get_version_args version{};
  EXPECT(call(machine.file(), AMDKFD_IOC_GET_VERSION, &version) == 0 && version.major_version == 1);
  std::printf("100000 calls answered\n");
  return 0;
}

// ALLOC, MAP, UNMAP and FREE by many threads.
int threads() {
  Machine machine;
  std::vector<std::thread> all;
  std::atomic<int> failures{0};
  for (int number = 0; number < 8; ++number)
    all.emplace_back([&, number] {
      for (int round = 0; round < 200; ++round) {
        kfd_ioctl_alloc_memory_of_gpu_args asked{};
        asked.va_addr = 0x1000000000ULL * static_cast<unsigned>(number + 1);
        asked.size = 4096;
        asked.gpu_id = *machine.ids();
        asked.flags = vram;
        failures += call(machine.file(), AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &asked) != 0;
        auto mapping = machine.all_gpus(asked.handle);
        failures += call(machine.file(), AMDKFD_IOC_MAP_MEMORY_TO_GPU, &mapping) != 0;
        mapping.n_success = 0;
        failures += call(machine.file(), AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU, &mapping) != 0;
        failures += machine.release(asked.handle) != 0;
      }
    });
  for (std::thread& each : all) each.join();
  EXPECT(failures == 0);
  return 0;
}

}  // namespace

int main(int, char** arguments) {
  const std::string what = arguments[1] != nullptr ? arguments[1] : "";
  if (what == "enomem") return enomem();
  if (what == "leak") return leak();
  if (what == "signal") return signal(false);
  if (what == "signal-restart") return signal(true);
  if (what == "memory") return memory();
  if (what == "events") return events(false);
  if (what == "events-interrupted") return events(true);
  if (what == "hang") return hang();
  if (what == "fork") return fork_apart();
  if (what == "in-the-middle") return in_the_middle();
  if (what == "files") return files();
  if (what == "fuzz") return fuzz();
  if (what == "threads") return threads();
  std::printf("what?\n");
  return 2;
}
