// A space that shows itself to other processes.
#include "engine/publisher.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "engine_rig.hpp"
#include "os/failing_calls.hpp"
#include "os/futex.hpp"

namespace sluice::engine {
namespace {

// The descriptors of this process that are status pages.
std::vector<int> pages_here() {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string link = std::filesystem::read_symlink(entry.path(), gone);
    if (link == std::string("/memfd:") + observe::status_file_name + " (deleted)")
      found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

class Published : public EngineTest {
 protected:
  void SetUp() override { open(small_devices(2)); }
  static observe::StatusPage read(int file) {
    observe::StatusPage page{};
    EXPECT_EQ(::pread(file, &page, sizeof page, 0), static_cast<ssize_t>(sizeof page));
    return page;
  }
};

TEST_F(Published, has_a_page_for_its_owner_to_read_until_it_closes) {
  EXPECT_TRUE(engine->status().published);
  const std::vector<int> pages = pages_here();
  ASSERT_EQ(pages.size(), 1U);
  const auto page = observe::checked(read(pages[0]));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->device_count, 2U);
  EXPECT_EQ(page->space, engine->number());
  struct stat status{};
  ASSERT_EQ(::fstat(pages[0], &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0400U);
  engine = nullptr;
  EXPECT_TRUE(pages_here().empty());
}

TEST_F(Published, answers_with_what_is_so_now) {
  std::uint32_t* const data = words(4 * mib);
  data[0] = 1;
  expect_done(fill(0, data, 4 * mib, 9));
  EXPECT_EQ(data[5], 9U);
  const int page = pages_here().at(0);
  std::string request;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string link = std::filesystem::read_symlink(entry.path(), gone);
    if (link.find(observe::request_file_name) != std::string::npos) request = entry.path();
  }
  const int file = ::open(request.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(file, 0);
  auto* const asked = static_cast<observe::StatusRequest*>(
      ::mmap(nullptr, sizeof(observe::StatusRequest), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  ASSERT_NE(asked, MAP_FAILED);
  EXPECT_EQ(asked->space, engine->number());
  for (int round = 0; round < 3; ++round) {
    const std::uint32_t number = asked->count.fetch_add(1) + 1;
    os::futex_wake_all(asked->count);
    ASSERT_TRUE(eventually([&] { return read(page).answered >= number; }));
  }
  const auto now = observe::checked(read(page));
  ASSERT_TRUE(now);
  EXPECT_EQ(now->counters.launches, 1U);
  EXPECT_GE(now->counters.cpu_faults, 1U);
  ASSERT_EQ(now->listed_ranges, 1U);
  EXPECT_EQ(now->worst[0].address, Address::of(data).value);
  EXPECT_GE(now->worst[0].faults, 1U);
  EXPECT_GT(now->worst[0].to_host, 0U);
  EXPECT_GT(now->devices[0].in_use, 0U);
  ::munmap(asked, sizeof(observe::StatusRequest));
  ::close(file);
}

TEST_F(Published, a_forked_child_has_no_page) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool none = pages_here().empty();
    engine = nullptr;
    ::_exit(none ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Published, is_not_needed) {
  engine = nullptr;
  os::FailingCalls calls;
  open(small_devices(2));
  // The page is made last.
  const int files = calls.made(&os::Calls::memfd_create);
  for (const int last : {1, 0}) {
    engine = nullptr;
    calls.fail(&os::Calls::memfd_create, files - last, EMFILE);
    open(small_devices(2));
    EXPECT_FALSE(engine->status().published);
    EXPECT_TRUE(pages_here().empty());
    words(4096)[0] = 1;
  }
}

}  // namespace
}  // namespace sluice::engine
