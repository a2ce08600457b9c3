// A device process that cannot be trusted. Whatever it writes into the control area or says over
// the socket, its client goes on: calls return, waits end, the device counts as lost or works, and
// a reset gives one that is right. And the other way round, a process whose client talks nonsense
// ends.
//
// The seeds are fixed. A failure names its seed; SLUICE_TEST_SEED runs that one alone.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include "device/recoverable_faults.hpp"
#include "device/soft/control_area.hpp"
#include "device/soft/messages.hpp"
#include "device/soft_rig.hpp"
#include "device/stoppable_queues.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

using std::chrono::milliseconds;
using Random = std::mt19937_64;

std::vector<std::uint64_t> seeds(std::size_t count) {
  if (const char* one = std::getenv("SLUICE_TEST_SEED")) return {std::strtoull(one, nullptr, 0)};
  std::vector<std::uint64_t> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = i + 1;
  return all;
}

// A timeout that ends a hang soon, and that a device on a busy machine may also miss: then it is
// lost, as everywhere here.
Backend impatient_backend() {
  return soft_backend([](soft::SoftOptions& options) {
    options.hang_timeout = options.kernel_timeout = milliseconds(120);
    options.recoverable_faults = true;
  });
}

// The control area of the one device that is open, as the device process sees it.
class Scribbler {
 public:
  Scribbler() {
    namespace fs = std::filesystem;
    for (const auto& file : fs::directory_iterator("/proc/self/fd")) {
      std::error_code ignored;
      if (fs::read_symlink(file, ignored).string().find("sluice-control") == std::string::npos)
        continue;
      const int opened = open(file.path().c_str(), O_RDWR | O_CLOEXEC);
      memory_ =
          mmap(nullptr, sizeof(soft::ControlArea), PROT_READ | PROT_WRITE, MAP_SHARED, opened, 0);
      EXPECT_EQ(ftruncate(opened, 0), -1) << "the control area can be taken away";
      close(opened);
    }
    if (memory_ == MAP_FAILED) throw std::runtime_error("no control area is open");
  }
  Scribbler(const Scribbler&) = delete;
  Scribbler& operator=(const Scribbler&) = delete;
  ~Scribbler() { munmap(memory_, sizeof(soft::ControlArea)); }

  soft::ControlArea& area() { return *static_cast<soft::ControlArea*>(memory_); }

  // One word somewhere in what is in use: the first words of the area, the head of a ring, or its
  // first slots.
  void scribble(Random& random) {
    constexpr std::array rings{soft::control_ring, soft::first_copy_ring, soft::first_copy_ring + 1,
                               soft::first_kernel_ring};
    auto& ring = area().rings[static_cast<std::size_t>(rings[random() % rings.size()])];
    auto* const ring_begin = reinterpret_cast<std::uint64_t*>(&ring);
    const auto head =
        static_cast<std::size_t>(reinterpret_cast<std::uint64_t*>(ring.slots.data()) - ring_begin);
    const auto slot_words = sizeof(soft::Slot) / sizeof(std::uint64_t);
    std::uint64_t* word = nullptr;
    switch (random() % 8) {
      case 0:
        word = reinterpret_cast<std::uint64_t*>(&area()) + random() % 2;
        break;
      case 1:
        word = ring_begin + head + random() % (8 * slot_words);
        break;
      case 2:
        word = reinterpret_cast<std::uint64_t*>(ring.payloads.data()) + random() % 16;
        break;
      default:
        word = ring_begin + random() % head;
    }
    const std::array values{
        std::uint64_t{0},
        ~std::uint64_t{0},
        random(),
        random() % 1024,
        __atomic_load_n(word, __ATOMIC_RELAXED) + 1,
        __atomic_load_n(word, __ATOMIC_RELAXED) ^ (std::uint64_t{1} << (random() % 64))};
    __atomic_store_n(word, values[random() % values.size()], __ATOMIC_RELAXED);
  }

 private:
  void* memory_ = MAP_FAILED;
};

// What an engine does with a device, for as long as it works. Errors are expected; a call that does
// not return is not.
void use(Rig& rig, Random& random, const std::atomic<bool>& stop) {
  const auto ended = [&](const Result<Fence>& fence) {
    if (!fence) return;
    const auto outcome = rig->wait(*fence, patiently());
    EXPECT_NE(code_of(outcome), ErrorCode::timed_out) << "a wait does not end";
    EXPECT_TRUE(eventually([&] { return rig->poll(*fence) != FenceState::pending; }));
  };
  const auto allocation = rig->allocate(block_size);
  if (!allocation) return;
  const auto queue = rig->create_queue();
  const auto kernel = rig->find_kernel("", "nothing");
  const Place here{Location::device(0), allocation->handle, 0};
  while (!stop && !rig->lost()) {
    const auto moved = rig.copy(rig.on_host(0), here, page_size);
    const auto mapped = rig.map(0, block_size, here, Rights::write);
    if (queue && kernel) {
      const std::array<Fence, 2> both{moved.value_or(Fence{}), mapped.value_or(Fence{})};
      const auto launched = rig->launch(*queue, {*kernel, {}, 1, both});
      if (random() % 4 == 0) {
        static_cast<void>(rig->stoppable_queues()->stop_queues());
        static_cast<void>(
            rig->stoppable_queues()->wait_stopped({.deadline = Clock::now() + milliseconds(50)}));
        rig->stoppable_queues()->restart_queues();
      }
      ended(launched);
    }
    ended(rig.fill(here, page_size, 7));
    ended(moved);
    ended(mapped);
  }
}

void expect_right(Rig& rig) {
  const Allocation allocation = GET(rig->allocate(block_size));
  std::fill_n(rig.host.alias<std::uint8_t>(0), page_size, std::uint8_t{0x5a});
  rig.finish(rig.copy(rig.on_host(0), rig.on_device(allocation), page_size));
  rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(block_size), page_size));
  EXPECT_EQ(rig.host.alias<std::uint8_t>(block_size)[page_size - 1], 0x5a);
  const QueueId queue = GET(rig->create_queue());
  rig.finish(rig->launch(queue, {GET(rig->find_kernel("", "nothing")), {}, 1, {}}));
}

TEST(SoftTrust, a_scribbled_control_area_hangs_and_crashes_nothing) {
  for (const std::uint64_t seed : seeds(32)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Rig rig(impatient_backend());
    rig.sink.on_access_fault([&](const auto& event) {
      rig->recoverable_faults()->answer_fault(event.fault, random() % 2 == 0);
    });
    std::atomic<bool> stop{false};
    {
      Scribbler scribbler;
      std::thread writer([&, words = 1 + seed % 8] {
        Random places(seed);
        std::this_thread::sleep_for(milliseconds(2));
        for (std::uint64_t word = 0; word < words; ++word) scribbler.scribble(places);
        std::this_thread::sleep_for(milliseconds(20));
        stop = true;
      });
      use(rig, random, stop);
      writer.join();
    }
    // Under the same hard limits a healthy device may be ended as well, so this is tried again.
    EXPECT_TRUE(eventually([&] { return static_cast<bool>(rig->reset()); }));
    rig.close();
  }
}

TEST(SoftTrust, a_reset_device_is_right_whatever_stood_in_its_area) {
  for (const std::uint64_t seed : seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Rig rig(soft_backend());
    const QueueId queue = GET(rig->create_queue());
    rig.finish(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}}));
    Scribbler scribbler;
    kill(device_process(), SIGSTOP);
    for (int word = 0; word < 40; ++word) scribbler.scribble(random);
    GET(rig->reset());
    rig->destroy_queue(queue);
    expect_right(rig);
  }
}

// Each word that the client reads in a loop, with what made it loop.
// Each thread, since they stop one by one.
bool has_stopped(pid_t process) {
  const std::string tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks)) {
    std::ifstream file(task.path() / "stat");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    if (text.find(") T ") == std::string::npos) return false;
  }
  return true;
}

TEST(SoftTrust, what_cannot_be_ends_the_device_and_is_named) {
  const auto check = [](const char* what, auto&& write, const char* words) {
    SCOPED_TRACE(what);
    Rig rig(soft_backend());
    const Allocation allocation = GET(rig->allocate(block_size));
    rig.finish(rig.fill(rig.on_device(allocation), page_size, 1));
    Scribbler scribbler;
    // A device that goes on working would write over what must be noticed.
    if (*words != 0)
      for (const pid_t process : device_processes()) {
        kill(process, SIGSTOP);
        EXPECT_TRUE(eventually([&] { return has_stopped(process); }));
      }
    write(scribbler.area());
    const auto outcome = rig.outcome(rig.fill(rig.on_device(allocation), page_size, 2));
    EXPECT_TRUE(eventually([&] { return rig->lost() || outcome.has_value(); }));
    if (*words == 0) return;
    const auto lost = rig.sink.await(RecordingSink::Event::Kind::lost);
    EXPECT_NE(lost.text.find(words), std::string::npos) << lost.text;
    GET(rig->reset());
    expect_right(rig);
  };
  constexpr std::size_t copies = soft::first_copy_ring;
  check(
      "completed beyond what was handed over",
      [](soft::ControlArea& area) { area.rings[copies].completed = 1U << 20; },
      "ended for what it wrote about copy engine 0");
  check(
      "a tail from nowhere",
      [](soft::ControlArea& area) { area.rings[copies].tail = ~std::uint64_t{0}; }, "");
  check(
      "completions taken back", [](soft::ControlArea& area) { area.rings[copies].completed = 0; },
      "");
}

TEST(SoftTrust, a_process_that_lies_over_its_socket_hangs_and_crashes_nothing) {
  const char* const program = SLUICE_BUILD_DIR "/tests/lying-device";
  if (access(program, X_OK) != 0)
    GTEST_SKIP() << program << " is not built; configure without SLUICE_ONLY";
  setenv("SLUICE_SOFT_DEVICE", program, 1);
  const auto files = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator("/proc/self/fd"))
      ++count;
    return count;
  };
  HostArea host;
  const std::size_t before = files();
  std::size_t opened = 0;
  for (const std::uint64_t seed : seeds(24)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    setenv("SLUICE_LIE", std::to_string(seed).c_str(), 1);
    RecordingSink sink;
    auto device = soft_backend([](soft::SoftOptions& options) {
                    options.hang_timeout = milliseconds(500);
                  }).open(0, host.memory(), sink);
    if (!device) continue;
    ++opened;
    for (int i = 0; i < 4; ++i) {
      static_cast<void>((*device)->find_kernel("", "nothing"));
      const auto queue = (*device)->create_queue();
      if (!queue) continue;
      const NamedMemory named{{host.at(0), page_size}, Access::read};
      static_cast<void>(
          soft::software_calls(**device)->dispatch(*queue, {KernelId{}, {}, 1, {}}, {&named, 1}));
    }
  }
  unsetenv("SLUICE_SOFT_DEVICE");
  EXPECT_TRUE(opened >= 4 || seeds(1).front() != 1) << "too few got as far as requests";
  EXPECT_TRUE(eventually([&] { return files() == before; }))
      << "descriptors that a device sent stay";
}

// A real device process with this test as its client.
class Process {
 public:
  Process() {
    std::array<int, 2> ends{}, pipe_ends{};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0 ||
        pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("socketpair");
    socket_ = ends[0], lifetime_ = pipe_ends[1];
    const int theirs = fcntl(ends[1], F_DUPFD_CLOEXEC, 10);
    const int reading = fcntl(pipe_ends[0], F_DUPFD_CLOEXEC, 10);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, theirs, soft::socket_in_device);
    posix_spawn_file_actions_adddup2(&actions, reading, soft::lifetime_in_device);
    const std::array<const char*, 5> arguments{SLUICE_SOFT_DEVICE, "200000000000", "40000000", "0",
                                               nullptr};
    EXPECT_EQ(posix_spawn(&process_, SLUICE_SOFT_DEVICE, &actions, nullptr,
                          const_cast<char**>(arguments.data()), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    for (const int file : {ends[1], pipe_ends[0], theirs, reading}) close(file);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    hang_up();
    close(lifetime_);
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] bool ended() const { return !runs(process_); }
  void hang_up() {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }

 private:
  pid_t process_ = -1;
  int socket_ = -1, lifetime_ = -1;
};

void send_start(int socket) {
  std::array<int, 4> files{};
  for (std::size_t i = 0; i < 3; ++i) {
    files[i] = memfd_create("test", MFD_CLOEXEC);
    EXPECT_EQ(ftruncate(files[i], i == 0 ? sizeof(soft::ControlArea) : 0x40000000), 0);
  }
  files[3] = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  soft::Message start;
  start.kind = soft::MessageKind::start;
  start.settings = {0x200000000000, 0x40000000, 0x40000000, 0, 2, 0, 0, 0, 0};
  EXPECT_TRUE(soft::send_message(socket, start, files));
  for (const int file : files) close(file);
  soft::Message ready;
  EXPECT_TRUE(soft::receive_message(socket, ready));
}

TEST(SoftTrust, a_process_whose_client_talks_nonsense_ends_with_it) {
  for (const std::uint64_t seed : seeds(16)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Process process;
    if (seed % 4 != 0) send_start(process.socket());
    for (int i = 0; i < 8; ++i) {
      soft::Message message;
      message.kind = static_cast<soft::MessageKind>(random() % 9);
      message.text_size = static_cast<std::uint32_t>(random() % soft::Message::text_capacity);
      for (char& letter : message.text) letter = static_cast<char>(random());
      message.a = random() % 2 == 0 ? random() : random() % 64;
      message.settings.number =
          static_cast<std::uint32_t>(random() % 2 == 0 ? random() : random() % 80);
      message.settings.memory_size = random();
      const std::array files{STDIN_FILENO, STDIN_FILENO};
      if (!soft::send_message(process.socket(), message, std::span(files).first(random() % 3),
                              MSG_DONTWAIT))
        break;
    }
    process.hang_up();
    EXPECT_TRUE(eventually([&] { return process.ended(); })) << "it outlives its client";
  }
}

}  // namespace
}  // namespace sluice::device::testing
