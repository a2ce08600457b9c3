// The software GPU's processes: many of them, none left behind, and none in the program's way.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <thread>

#include "device/soft_rig.hpp"
#include "os/fork_guard.hpp"
#include "sluice/soft_kernels_builtin.h"

namespace sluice::device::testing {
namespace {

TEST(SoftProcess, sixty_four_devices_open_in_seconds) {
  HostArea host;
  RecordingSink sink;
  const Backend backend = soft_backend();
  std::vector<std::unique_ptr<Device>> devices;
  for (int number = 0; number < max_devices; ++number)
    devices.push_back(GET(backend.open(number, host.memory(), sink)));
  EXPECT_EQ(device_processes().size(), 64U);
  // A byte goes from each to the next, so that each pair meets as peers.
  std::vector<Allocation> allocations;
  for (auto& device : devices) allocations.push_back(GET(device->allocate(page_size)));
  const auto place = [&](int number) {
    return Place{Location::device(number), allocations[static_cast<std::size_t>(number)].handle, 0};
  };
  const FillCommand fill{place(0), page_size, 0x5a};
  GET(devices[0]->wait(GET(devices[0]->fill({&fill, 1})), patiently()));
  for (int number = 1; number < max_devices; ++number) {
    auto& device = devices[static_cast<std::size_t>(number)];
    const CopyCommand copy{place(number - 1), place(number), page_size};
    GET(device->wait(GET(device->copy({&copy, 1})), patiently()));
  }
  EXPECT_EQ(*soft::client_view(*devices[63], place(63)), std::byte{0x5a});
  devices.clear();
  EXPECT_TRUE(device_processes().empty());
}

TEST(SoftProcess, the_same_number_twice_is_refused) {
  Rig rig(soft_backend());
  EXPECT_EQ(code_of(soft_backend().open(0, rig.host.memory(), rig.sink)), ErrorCode::busy);
  RecordingSink other;
  EXPECT_TRUE(soft_backend().open(0, rig.host.memory(), other))
      << "another engine has numbers of its own";
}

TEST(SoftProcess, bad_options_are_refused) {
  HostArea host;
  RecordingSink sink;
  const auto with = [&](auto adjust) {
    return code_of(soft_backend(adjust).open(0, host.memory(), sink));
  };
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.number = 64; }), ErrorCode::invalid_argument);
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.number = -1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.memory_size = 0; }), ErrorCode::invalid_argument);
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.memory_size = 12345; }), ErrorCode::invalid_argument);
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.copy_engines = 1; }), ErrorCode::invalid_argument);
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.copy_engines = 5; }), ErrorCode::invalid_argument);
  EXPECT_EQ(with([](soft::SoftOptions& o) { o.hang_timeout = {}; }), ErrorCode::invalid_argument);
}

TEST(SoftProcess, a_missing_program_is_named) {
  HostArea host;
  RecordingSink sink;
  setenv("SLUICE_SOFT_DEVICE", "/no/such/program", 1);
  const auto outcome = soft_backend().open(0, host.memory(), sink);
  unsetenv("SLUICE_SOFT_DEVICE");
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().detail().find("/no/such/program"), std::string_view::npos);
}

TEST(SoftProcess, another_program_is_recognised) {
  HostArea host;
  RecordingSink sink;
  setenv("SLUICE_SOFT_DEVICE", "/bin/true", 1);
  const auto outcome = soft_backend().open(0, host.memory(), sink);
  unsetenv("SLUICE_SOFT_DEVICE");
  EXPECT_EQ(code_of(outcome), ErrorCode::system);
}

TEST(SoftProcess, a_taken_window_is_named) {
  HostArea host;
  RecordingSink sink;
  // Nearly all of the address space: the program itself lies in it.
  HostMemory bad = host.memory();
  bad.window = {Address{1 << 20}, (std::size_t{1} << 47) - (2 << 20)};
  const auto outcome = soft_backend().open(0, bad, sink);
  ASSERT_FALSE(outcome);
  EXPECT_NE(outcome.error().detail().find("managed addresses are taken"), std::string_view::npos)
      << outcome.error().detail();
}

TEST(SoftProcess, the_program_has_no_child_and_hears_no_signal) {
  static std::atomic<int> heard = 0;
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = [](int) { ++heard; };
  sigaction(SIGCHLD, &action, &before);
  {
    Rig rig(soft_backend());
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1);
    EXPECT_EQ(errno, ECHILD);
    kill(device_process(), SIGKILL);
    static_cast<void>(rig.sink.await(RecordingSink::Event::Kind::lost));
  }
  sigaction(SIGCHLD, &before, nullptr);
  EXPECT_EQ(heard, 0);
}

// Such a program, and the first of a container, is made the parent of every process that lost its
// own.
TEST(SoftProcess, a_program_that_adopts_orphans_has_none_to_collect) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  {
    Rig rig(soft_backend());
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), 0) << "it runs, and is a child here";
    kill(device_process(), SIGKILL);
    static_cast<void>(rig.sink.await(RecordingSink::Event::Kind::lost));
    EXPECT_TRUE(rig->reset());
  }
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1);
  EXPECT_EQ(errno, ECHILD);
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

// A device process that fails at its start, in the ways that scripts in its place show.
class SoftStart : public ::testing::Test {
 protected:
  SoftStart() : folder_(::testing::TempDir() + "sluice-start-" + std::to_string(getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~SoftStart() override {
    unsetenv("SLUICE_SOFT_DEVICE");
    std::filesystem::remove_all(folder_);
  }
  // What open() says of a device process that runs these commands instead.
  std::string failure_of(const char* commands) {
    const std::string script = folder_ + "/device";
    std::ofstream(script) << "#!/bin/sh\n" << commands << '\n';
    std::filesystem::permissions(script, std::filesystem::perms::owner_all);
    setenv("SLUICE_SOFT_DEVICE", script.c_str(), 1);
    HostArea host;
    RecordingSink sink;
    const auto device = soft_backend().open(0, host.memory(), sink);
    return device ? "opened" : std::string(device.error().detail());
  }

 private:
  std::string folder_;
};

constexpr std::string_view killed = "ended at its start (signal 9, Killed)";
constexpr std::string_view exited = "ended at its start (exit status 7)";

TEST_F(SoftStart, an_adopting_program_is_told_how_the_process_ended_and_has_none_to_collect) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  std::string told = failure_of("kill -9 $$");
  EXPECT_NE(told.find(killed), told.npos) << told;
  told = failure_of("exit 7");
  EXPECT_NE(told.find(exited), told.npos) << told;
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG | __WALL), -1) << "a zombie is left";
  EXPECT_EQ(errno, ECHILD);
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

// As a chroot without devices has it.
TEST_F(SoftStart, without_dev_null_it_is_named) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNS) != 0) _exit(2);
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("none", "/dev", "tmpfs", 0, nullptr) != 0)
      _exit(3);
    const std::string told = failure_of("exit 7");
    const bool named = told.find("open /dev/null") != told.npos;
    if (!named) std::fprintf(stderr, "told: %s\n", told.c_str());
    _exit(named ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
    GTEST_SKIP() << "needs a mount namespace: run as root";
  EXPECT_EQ(status, 0);
}

// Linux tells others since 6.15, once the adopter has collected the process: here this test.
TEST_F(SoftStart, any_other_program_is_told_how_the_process_ended) {
  utsname system = {};
  ASSERT_EQ(uname(&system), 0);
  int major = 0;
  int minor = 0;
  ASSERT_EQ(std::sscanf(system.release, "%d.%d", &major, &minor), 2);
  if (major < 6 || (major == 6 && minor < 15)) GTEST_SKIP() << "needs Linux 6.15 or newer";
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string told = failure_of("kill -9 $$");
    if (told.find(killed) == told.npos) std::fprintf(stderr, "told: %s\n", told.c_str());
    _exit(told.find(killed) == told.npos ? 1 : 0);
  }
  int status = -1;
  for (pid_t ended = 0; ended != child;) {
    int its = -1;
    ended = waitpid(-1, &its, 0);
    ASSERT_GT(ended, 0);
    if (ended == child) status = its;
  }
  EXPECT_EQ(status, 0);
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

// As below the first process of many containers.
TEST_F(SoftStart, an_adopter_that_collects_nothing_is_not_waited_for) {
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::string told = failure_of("kill -9 $$");
    const bool right = told.find(killed) != told.npos;
    if (!right) std::fprintf(stderr, "told: %s\n", told.c_str());
    _exit(right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  while (waitpid(-1, nullptr, 0) > 0) {
  }
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

TEST(SoftProcess, nothing_of_the_program_is_inherited) {
  // A pipe whose end would be kept open by a device process that inherits it.
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);  // on purpose without O_CLOEXEC
  Rig rig(soft_backend());
  close(ends[1]);
  char byte;
  EXPECT_EQ(read(ends[0], &byte, 1), 0) << "end of file: nobody else holds the other end";
  close(ends[0]);
}

TEST(SoftProcess, a_thread_that_opened_it_may_end) {
  HostArea host;
  RecordingSink sink;
  std::unique_ptr<Device> device;
  std::thread([&] { device = GET(soft_backend().open(0, host.memory(), sink)); }).join();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const Allocation allocation = GET(device->allocate(page_size));
  const FillCommand fill{{Location::device(0), allocation.handle, 0}, page_size, 1};
  EXPECT_TRUE(device->wait(GET(device->fill({&fill, 1})), patiently()));
}

TEST(SoftProcess, a_forked_child_owns_nothing) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  const KernelId nothing = rig.kernel("nothing");
  const pid_t child = fork();
  if (child == 0) {
    bool good = code_of(rig->launch(queue, {nothing, {}, 1, {}})) == ErrorCode::device_lost;
    good = good && code_of(rig->allocate(page_size)) == ErrorCode::device_lost;
    good = good && code_of(rig->reset()) == ErrorCode::device_lost;
    good = good && rig->lost();
    rig.close();
    _exit(good ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  rig.finish(rig->launch(queue, {nothing, {}, 1, {}}));
}

// The client of the next test, in a process of its own: opens devices, keeps them busy, says so,
// and waits to be killed.
TEST(SoftProcess, DISABLED_client_that_is_killed) {
  HostArea host;
  const os::ForkGuard guard = GET(os::ForkGuard::over(host.memory().window));
  RecordingSink sink;
  std::vector<std::unique_ptr<Device>> devices;
  for (int number = 0; number < 4; ++number) {
    devices.push_back(GET(soft_backend().open(number, host.memory(), sink)));
    const QueueId queue = GET(devices.back()->create_queue());
    const KernelId spin = GET(devices.back()->find_kernel("", "spin"));
    const sluice_soft_spin for_ever{nullptr, 0};
    static_cast<void>(GET(devices.back()->launch(queue, {spin, bytes_of(for_ever), 1, {}})));
  }
  // A forked child that outlives the client must not keep the devices alive, though it holds copies
  // of its descriptors.
  const char* path = std::getenv("SLUICE_TEST_REPORT");
  if (std::getenv("SLUICE_TEST_STOP") != nullptr) {
    for (const pid_t process : device_processes()) kill(process, SIGSTOP);
  }
  if (fork() == 0) {
    while (access(path, F_OK) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    _exit(0);
  }
  std::ofstream report(path);
  for (const pid_t process : device_processes()) report << process << ' ';
  report << "0" << std::endl;
  std::this_thread::sleep_for(patience);
}

// The client, its standard output, and the device processes that it has started.
struct StartedClient {
  pid_t client = -1;
  int output = -1;
  std::vector<pid_t> processes;
  std::string report;  // while this file is there, a child that the client has forked stays
};

StartedClient start_client(std::string stop = "SLUICE_TEST_NOTHING=") {
  StartedClient started;
  char report[] = "/tmp/sluice-device-test-XXXXXX";
  close(mkstemp(report));
  const std::string variable = std::string("SLUICE_TEST_REPORT=") + report;
  std::array<int, 2> pipe_ends{};
  EXPECT_EQ(pipe2(pipe_ends.data(), O_CLOEXEC), 0);
  std::vector<char*> environment;
  environment.push_back(stop.data());
  for (char** entry = environ; *entry != nullptr; ++entry)  // a run in shards is not the client's
    if (!std::string_view(*entry).starts_with("GTEST_")) environment.push_back(*entry);
  environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);
  std::array<const char*, 4> arguments{"/proc/self/exe",
                                       "--gtest_filter=SoftProcess.DISABLED_client_that_is_killed",
                                       "--gtest_also_run_disabled_tests", nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO,
                                   STDERR_FILENO);  // a sanitizer comments on its signals
  EXPECT_EQ(posix_spawn(&started.client, "/proc/self/exe", &actions, nullptr,
                        const_cast<char**>(arguments.data()), environment.data()),
            0);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_ends[1]);
  started.output = pipe_ends[0];

  std::vector<pid_t>& processes = started.processes;
  EXPECT_TRUE(eventually([&] {
    processes.clear();
    std::ifstream file(report);
    for (pid_t process; file >> process;) processes.push_back(process);
    return !processes.empty() && processes.back() == 0;
  }));
  if (!processes.empty()) processes.pop_back();
  EXPECT_EQ(processes.size(), 4U);
  started.report = report;
  return started;
}

// True when the other end is closed, by everybody who had it.
bool reaches_end_of_file(int output) {
  fcntl(output, F_SETFL, O_RDONLY | O_NONBLOCK);
  return eventually([&] {
    std::array<char, 4096> ignored;
    ssize_t got;
    do got = read(output, ignored.data(), ignored.size());
    while (got > 0);
    return got == 0;
  });
}

class ClientsEnd : public ::testing::TestWithParam<int> {};

TEST_P(ClientsEnd, leaves_no_process) {
  const StartedClient started = start_client();
  for (const pid_t process : started.processes) EXPECT_TRUE(runs(process));
  kill(started.client, GetParam());
  waitpid(started.client, nullptr, 0);
  for (const pid_t process : started.processes)
    EXPECT_TRUE(eventually([&] { return !runs(process); })) << process;
  unlink(started.report.c_str());
  EXPECT_TRUE(reaches_end_of_file(started.output));
  close(started.output);
}

// A stopped process runs nothing that could notice its client's end.
TEST_P(ClientsEnd, leaves_no_stopped_process) {
  const StartedClient started = start_client("SLUICE_TEST_STOP=1");
  for (const pid_t process : started.processes)
    EXPECT_TRUE(eventually([&] { return state_of(process) == 'T'; }));
  // The child that the client has forked lives on until the report is gone.
  kill(started.client, GetParam());
  waitpid(started.client, nullptr, 0);
  for (const pid_t process : started.processes)
    EXPECT_TRUE(eventually([&] { return !runs(process); })) << process;
  unlink(started.report.c_str());
  EXPECT_TRUE(reaches_end_of_file(started.output));
  close(started.output);
}

INSTANTIATE_TEST_SUITE_P(By, ClientsEnd, ::testing::Values(SIGKILL, SIGTERM, SIGSEGV),
                         [](const auto& test) { return sigabbrev_np(test.param); });

}  // namespace
}  // namespace sluice::device::testing
