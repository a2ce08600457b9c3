// Core dumps and debuggers: no hang with faults pending, and no silent zeros where there are bytes
// that they cannot see.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "os/machine.hpp"
#include "world.hpp"

namespace sluice::fault {
namespace {

namespace files = std::filesystem;

bool has_gdb() { return std::system("gdb --version > /dev/null 2>&1") == 0; }

std::string output_of(const std::string& command) {
  std::string text;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  char buffer[512];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) text += buffer;
  ::pclose(pipe);
  return text;
}

std::string examine(Address address) {
  char text[64];
  std::snprintf(text, sizeof text, "'x/gx %#zx'", static_cast<std::size_t>(address.value));
  return text;
}

// gdb prints the word it read as "0x...:\t0x0000000000000000".
bool shows_zero(const std::string& text) {
  return text.find(":\t0x0000000000000000") != std::string::npos;
}

class DebuggerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (os::inspect_fault_delivery().best == Grade::none)
      GTEST_SKIP() << os::inspect_fault_delivery().reason;
  }
};

TEST_F(DebuggerTest, a_live_debugger_sees_no_zeros) {
  if (!has_gdb()) GTEST_SKIP() << "gdb is not installed (Debian: gdb)";
  World world({.on_device = true});
  if (world.source->grade() == Grade::signal)
    GTEST_SKIP() << "page protection does not stop debuggers (docs/signals.md); run it without "
                    "SLUICE_TEST_GRADE=signal";
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  const std::string text = output_of("timeout 100 gdb -nx -batch -p " + std::to_string(::getpid()) +
                                     " -ex " + examine(world.view.begin) + " 2>&1");
  if (text.find("ptrace:") != std::string::npos)
    GTEST_SKIP() << "this process may not be traced; sysctl kernel.yama.ptrace_scope=0";
  EXPECT_FALSE(shows_zero(text)) << text;
  EXPECT_NE(text.find("Cannot access memory"), std::string::npos) << text;
  EXPECT_EQ(world.word(0), device_word(world.view.begin)) << "and the program goes on";
}

// Where the child puts its core, and says what to look for.
struct CoreFolder {
  CoreFolder()
      : path(files::temp_directory_path() / ("sluice-core-" + std::to_string(::getpid()))) {
    files::create_directory(path);
  }
  ~CoreFolder() { files::remove_all(path); }
  [[nodiscard]] files::path core() const {
    for (const auto& entry : files::directory_iterator(path))
      if (entry.path().filename().string().starts_with("core")) return entry.path();
    return {};
  }
  files::path path;
};

[[noreturn]] void dump_core_with_a_fault_pending(const files::path& folder) {
  ::alarm(120);
  files::current_path(folder);
  const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
  ::setrlimit(RLIMIT_CORE, &unlimited);
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  World world({.on_device = true});
  world.word(1) = 7;
  std::ofstream("address") << world.view.begin.value;
  world.park = true;
  std::thread waiting([&world] { world.touch(0); });
  world.parked.acquire();
  struct sigaction by_default = {};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(SIGABRT, &by_default, nullptr);
  std::abort();
}

TEST_F(DebuggerTest, a_core_dump_with_a_fault_pending_ends_and_says_what_it_lacks) {
  // The folder is the parent's: a death test's child is this program started again.
  const char* const inherited = ::getenv("SLUICE_TEST_CORE_FOLDER");
  std::optional<CoreFolder> folder;
  if (inherited == nullptr) {
    folder.emplace();
    ::setenv("SLUICE_TEST_CORE_FOLDER", folder->path.c_str(), 1);
  }
  const files::path path = inherited != nullptr ? files::path(inherited) : folder->path;
  EXPECT_EXIT(dump_core_with_a_fault_pending(path), ::testing::KilledBySignal(SIGABRT), "");
  ::unsetenv("SLUICE_TEST_CORE_FOLDER");
  if (folder->core().empty())
    GTEST_SKIP() << "no core file appears here; sysctl kernel.core_pattern=core, in a tree without "
                    "a sanitizer";
  struct stat facts = {};
  ASSERT_EQ(::stat(folder->core().c_str(), &facts), 0);
  EXPECT_LT(facts.st_blocks * 512, std::int64_t{1} << 30)
      << "neither the window nor the alias is in there";
  if (!has_gdb()) GTEST_SKIP() << "gdb is not installed (Debian: gdb)";
  Address view;
  std::ifstream(path / "address") >> view.value;
  const std::string text = output_of("timeout 100 gdb -nx -batch -c " + folder->core().string() +
                                     " /proc/self/exe -ex " + examine(view) + " -ex " +
                                     examine(view + page_size) + " 2>&1");
  // gdb 13 shows zeros for all that a core leaves out; the file's name makes it say so first.
  if (shows_zero(text)) {
    EXPECT_NE(text.find("Can't open file /memfd:sluice: not in core dumps"), std::string::npos)
        << text;
  }
}

}  // namespace
}  // namespace sluice::fault
