// stress SECONDS [SEED]: eight processes make random ioctls, each against a model of a few lines,
// while signals come all the time. Now and then one is killed by SIGKILL, and another takes its
// place. 0: no answer differed from the model's.
//
// Below `sluice run --kfd=gpus=4,vram=64MiB,system=1GiB`, on which the model's limits rest, and a
// plan of waits that are slow or interrupted, but of no failures.
#include <sys/time.h>
#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <map>
#include <random>
#include <set>

#include "kfd_calls.hpp"

namespace {

using namespace kfd_program;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t mib = 1 << 20;
constexpr std::uint64_t vram_limit = 56 * mib;  // of 64, less page tables
constexpr std::uint64_t gtt_limit = 384 * mib;  // 3/8 of the host's
constexpr int processes = 8;

struct ModelBuffer {
  std::uint32_t gpu = 0;
  std::uint64_t size = 0;
  bool is_vram = false;
  std::set<std::uint32_t> mapped;
};

struct ModelEvent {
  bool is_auto = false;
  bool is_set = false;
};

class Stress {
 public:
  explicit Stress(std::uint64_t seed) : random_(seed), used_(machine_.gpus()) {
    EXPECT(machine_.gpus() == 4);
  }
  void step() {
    switch (below(12)) {
      case 0:
      case 1:
        return allocate();
      case 2:
        return release();
      case 3:
      case 4:
      case 5:
        return change(AMDKFD_IOC_MAP_MEMORY_TO_GPU);
      case 6:
      case 7:
        return change(AMDKFD_IOC_UNMAP_MEMORY_FROM_GPU);
      case 8:
        return available();
      case 9:
        return create_or_destroy_event();
      case 10:
        return set_event();
      default:
        return wait();
    }
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  template <typename Map>
  typename Map::iterator any_of(Map& map) {
    return std::next(map.begin(), static_cast<std::ptrdiff_t>(below(map.size())));
  }

  void allocate() {
    kfd_ioctl_alloc_memory_of_gpu_args asked{};
    ModelBuffer buffer;
    buffer.gpu = static_cast<std::uint32_t>(below(machine_.gpus()));
    buffer.size = 1 + below(8) * mib + below(4096);
    buffer.is_vram = below(3) != 0;
    asked.va_addr = next_address_;
    next_address_ += 16 * mib;
    asked.size = buffer.size;
    asked.gpu_id = machine_.ids()[buffer.gpu];
    asked.flags = buffer.is_vram ? KFD_IOC_ALLOC_MEM_FLAGS_VRAM : KFD_IOC_ALLOC_MEM_FLAGS_GTT;
    const std::uint64_t before = buffer.is_vram ? used_[buffer.gpu] : gtt_used_;
    const bool fits = before + buffer.size <= (buffer.is_vram ? vram_limit : gtt_limit);
    const int error = call(machine_.file(), AMDKFD_IOC_ALLOC_MEMORY_OF_GPU, &asked);
    EXPECT(error == (fits ? 0 : ENOMEM));
    if (!fits) return;
    (buffer.is_vram ? used_[buffer.gpu] : gtt_used_) += buffer.size;
    EXPECT(buffers_.emplace(asked.handle, buffer).second);
  }

  void release() {
    if (buffers_.empty() || below(8) == 0) {
      EXPECT(machine_.release(random_()) == EINVAL);
      return;
    }
    const auto chosen = any_of(buffers_);
    const int error = machine_.release(chosen->first);
    EXPECT(error == (chosen->second.mapped.empty() ? 0 : EBUSY));
    if (error != 0) return;
    const ModelBuffer& gone = chosen->second;
    (gone.is_vram ? used_[gone.gpu] : gtt_used_) -= gone.size;
    buffers_.erase(chosen);
  }

  void change(unsigned long request) {
    if (buffers_.empty()) return;
    const auto chosen = any_of(buffers_);
    const bool maps = request == AMDKFD_IOC_MAP_MEMORY_TO_GPU;
    std::vector<std::uint32_t> gpus(below(7)), ids;
    for (std::uint32_t& gpu : gpus) {
      gpu = below(16) == 0 ? 99 : static_cast<std::uint32_t>(below(machine_.gpus()));
      ids.push_back(gpu == 99 ? 1 : machine_.ids()[gpu]);
    }
    kfd_ioctl_map_memory_to_gpu_args asked{};
    asked.handle = chosen->first;
    asked.device_ids_array_ptr = reinterpret_cast<std::uintptr_t>(ids.data());
    asked.n_devices = static_cast<std::uint32_t>(ids.size());
    asked.n_success = below(4) == 0 ? static_cast<std::uint32_t>(below(8)) : 0;
    std::uint32_t done = asked.n_success;
    const int expected = run_model(chosen->second.mapped, gpus, maps, done);
    int error = call(machine_.file(), request, &asked);
    // A signal, or the plan's: all is done, and the call made again only waits.
    while (error == EINTR) {
      EXPECT(expected == 0 && asked.n_success == asked.n_devices);
      error = call(machine_.file(), request, &asked);
    }
    EXPECT(error == expected && asked.n_success == done);
  }
  static int run_model(std::set<std::uint32_t>& mapped, const std::vector<std::uint32_t>& gpus,
                       bool maps, std::uint32_t& done) {
    if (gpus.empty() || done > gpus.size()) return EINVAL;
    for (; done < gpus.size(); ++done) {
      const std::uint32_t gpu = gpus[done];
      if (gpu == 99 || (!maps && mapped.erase(gpu) == 0)) return EINVAL;
      if (maps) mapped.insert(gpu);
    }
    return 0;
  }

  void available() {
    const auto gpu = static_cast<std::uint32_t>(below(machine_.gpus()));
    std::uint64_t chunks = 0;
    for (const auto& [handle, each] : buffers_)
      if (each.is_vram && each.gpu == gpu) chunks += (each.size + 2 * mib - 1) / (2 * mib);
    const std::uint64_t taken = chunks * 2 * mib;
    kfd_ioctl_get_available_memory_args asked{};
    asked.gpu_id = machine_.ids()[gpu];
    EXPECT(call(machine_.file(), AMDKFD_IOC_AVAILABLE_MEMORY, &asked) == 0);
    EXPECT(asked.available == (taken >= vram_limit ? 0 : vram_limit - taken));
  }

  void create_or_destroy_event() {
    if (events_.size() < 20 && below(2) == 0) {
      kfd_ioctl_create_event_args asked{};
      asked.event_type = KFD_IOC_EVENT_SIGNAL;
      asked.auto_reset = static_cast<std::uint32_t>(below(2));
      EXPECT(call(machine_.file(), AMDKFD_IOC_CREATE_EVENT, &asked) == 0);
      EXPECT(events_.emplace(asked.event_id, ModelEvent{asked.auto_reset != 0, false}).second);
    } else if (!events_.empty()) {
      const auto chosen = any_of(events_);
      kfd_ioctl_destroy_event_args asked{chosen->first, 0};
      EXPECT(call(machine_.file(), AMDKFD_IOC_DESTROY_EVENT, &asked) == 0);
      EXPECT(call(machine_.file(), AMDKFD_IOC_DESTROY_EVENT, &asked) == EINVAL);
      events_.erase(chosen);
    }
  }

  void set_event() {
    if (events_.empty()) return;
    const auto chosen = any_of(events_);
    kfd_ioctl_set_event_args asked{chosen->first, 0};
    EXPECT(call(machine_.file(), AMDKFD_IOC_SET_EVENT, &asked) == 0);
    chosen->second.is_set = true;
  }

  void wait() {
    if (events_.empty()) return;
    const auto chosen = any_of(events_);
    kfd_event_data data{};
    data.event_id = chosen->first;
    kfd_ioctl_wait_events_args asked{};
    asked.events_ptr = reinterpret_cast<std::uintptr_t>(&data);
    asked.num_events = 1;
    EXPECT(call(machine_.file(), AMDKFD_IOC_WAIT_EVENTS, &asked) == 0);
    EXPECT(asked.wait_result ==
           (chosen->second.is_set ? KFD_IOC_WAIT_RESULT_COMPLETE : KFD_IOC_WAIT_RESULT_TIMEOUT));
    if (chosen->second.is_auto) chosen->second.is_set = false;
  }

  Machine machine_;
  std::mt19937_64 random_;
  std::map<std::uint64_t, ModelBuffer> buffers_;
  std::map<std::uint32_t, ModelEvent> events_;
  std::vector<std::uint64_t> used_;
  std::uint64_t gtt_used_ = 0;
  std::uint64_t next_address_ = 0x100000000;
};

void handle_nothing(int) {}

// Half of the processes restart their calls after signals, the others see EINTR.
int run_one(std::uint64_t seed, Clock::time_point end) {
  struct sigaction action{};
  action.sa_handler = handle_nothing;
  action.sa_flags = seed % 2 == 0 ? SA_RESTART : 0;
  EXPECT(sigaction(SIGALRM, &action, nullptr) == 0);
  Stress stress(seed);
  const itimerval often{{0, 700}, {0, 700}};
  EXPECT(setitimer(ITIMER_REAL, &often, nullptr) == 0);
  while (Clock::now() < end)
    for (int step = 0; step < 100; ++step) stress.step();
  return 0;
}

pid_t start_one(std::uint64_t seed, Clock::time_point end) {
  std::fflush(stdout);
  const pid_t child = fork();
  EXPECT(child >= 0);
  if (child != 0) return child;
  const int status = run_one(seed, end);
  std::fflush(stdout);
  _exit(status);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const std::uint64_t first =
      count > 2 ? std::strtoull(arguments[2], nullptr, 10) : static_cast<std::uint64_t>(getpid());
  std::uint64_t seed = first;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  const auto end = Clock::now() + std::chrono::seconds(std::atoi(arguments[1]));
  std::mt19937_64 random(seed);
  std::map<pid_t, bool> children;  // whether we have killed it
  for (int number = 0; number < processes; ++number) children[start_one(seed++, end)] = false;
  int killed = 0;
  while (!children.empty()) {
    usleep(20'000);
    const auto victim = std::next(children.begin(), static_cast<int>(random() % children.size()));
    if (Clock::now() < end && random() % 8 == 0 && !victim->second &&
        kill(victim->first, SIGKILL) == 0) {
      victim->second = true;
      ++killed;
    }
    int status = 0;
    for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0; children.erase(ended)) {
      const bool is_expected = children[ended] ? WIFSIGNALED(status) || WEXITSTATUS(status) == 0
                                               : WIFEXITED(status) && WEXITSTATUS(status) == 0;
      EXPECT(is_expected);
      if (Clock::now() < end) children[start_one(seed++, end)] = false;
    }
  }
  std::printf("%d processes, %d of them killed: no difference\n", static_cast<int>(seed - first),
              killed);
  return 0;
}
