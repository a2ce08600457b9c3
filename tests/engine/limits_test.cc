// Spaces at the limits of a process: mappings, descriptors, addresses and files that ran out or
// were taken away.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <thread>

#include "engine_rig.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"

namespace sluice::engine {
namespace {

using testing::HasSubstr;

// Mappings of the program's own, as many as the process may have.
class AllMappings {
 public:
  AllMappings() {
    for (std::size_t at = 0; at < size; at += 2 * page_size)
      if (::mprotect(area_ + at, page_size, PROT_READ) != 0) return;
  }
  AllMappings(const AllMappings&) = delete;
  AllMappings& operator=(const AllMappings&) = delete;
  ~AllMappings() { ::munmap(area_, size); }
  // Whether the limit was reached.
  [[nodiscard]] static bool none_left() {
    void* const one = ::mmap(nullptr, 2 * page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (one == MAP_FAILED) return true;
    const bool none = ::mprotect(one, page_size, PROT_NONE) != 0;
    ::munmap(one, 2 * page_size);
    return none;
  }

 private:
  static constexpr std::size_t size = std::size_t{1} << 30;
  std::byte* const area_ = static_cast<std::byte*>(
      ::mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
};

// Close a descriptor of the library beside its threads, which is what these tests are about, and
// open a file in its place. ThreadSanitizer, which would report just that, does not see it.
void close_unseen(int number) { ::syscall(SYS_close, number); }
bool open_unseen(const char* path) {
  return ::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) >= 0;
}

class Limits : public EngineTest, public testing::WithParamInterface<Grade> {
 protected:
  void open_here(int devices = 1) {
    SpaceOptions options = small_devices(devices);
    options.best_grade = GetParam();
    open(options);
  }
  [[nodiscard]] static std::size_t count_nonzero(const std::uint32_t* data, std::size_t bytes) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < bytes / 4; ++i) count += data[i] != 0 ? 1 : 0;
    return count;
  }
};

TEST_P(Limits, without_mappings_freed_memory_comes_back_as_zeros) {
  if (os::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer ends a program that has no mapping left for it; run it in a "
                    "tree without";
  open_here();
  constexpr std::size_t size = 8 * mib;
  std::uint32_t* kept = words(size);
  std::vector<std::uint32_t*> freed{words(size), words(size, Kind::host), words(size)};
  for (std::uint32_t* data : freed) std::memset(data, 0x5a, size);
  std::memset(kept, 0x77, size);
  bool discarded = false;
  {
    const AllMappings all;
    if (!AllMappings::none_left())
      GTEST_SKIP() << "vm.max_map_count is too high to be reached; sysctl vm.max_map_count=65530";
    for (std::uint32_t* data : freed) EXPECT_TRUE(engine->free(Address::of(data), FreeMode::wait));
    // Rights by page protection need a mapping for it; then it is refused, and has changed nothing.
    const auto done = engine->discard(span(kept, size));
    discarded = done.has_value();
    if (!done) {
      EXPECT_THAT(done, fails_with(ErrorCode::out_of_host_memory));
    }
    const auto more = engine->allocate(size, Kind::shared, -1, HostPages::automatic);
    EXPECT_THAT(more, fails_with(ErrorCode::out_of_host_memory));
    if (!more) {
      EXPECT_THAT(std::string(more.error().detail()), HasSubstr("vm.max_map_count"));
    }
  }
  EXPECT_EQ(count_nonzero(kept, size), discarded ? 0u : size / 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(count_nonzero(words(size), size), 0u);
  EXPECT_EQ(count_nonzero(words(size, Kind::host), size), 0u);
  expect_done(fill(0, kept, size, 3));
  EXPECT_EQ(kept[1000], 3u);
}

// The last mappings are the program's: its threads start, and its malloc works.
TEST_P(Limits, of_mappings_are_told_before_the_program_has_none) {
  if (os::under_thread_sanitizer)
    GTEST_SKIP() << "ThreadSanitizer ends a program that has no mapping left for it; run it in a "
                    "tree without";
  open_here(0);
  std::vector<Address> ranges;
  Result<Address> last = Address{};
  {
    const AllMappings* const most = new AllMappings;
    if (!AllMappings::none_left()) {
      delete most;
      GTEST_SKIP() << "vm.max_map_count is too high to be reached; sysctl vm.max_map_count=65530";
    }
    delete most;
  }
  // All but some thousand, so that the test is quick.
  const os::MappingLimit limit = os::inspect_mapping_limit();
  std::vector<void*> own;
  for (std::size_t used = limit.in_use; used + 3000 < limit.most; used += 2) {
    void* const one = ::mmap(nullptr, 2 * page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(one, MAP_FAILED);
    ::mprotect(one, page_size, PROT_NONE);
    own.push_back(one);
  }
  while (last && ranges.size() < 10000) {
    // Smaller ranges share their mappings, and those that fill their blocks lie side by side.
    last = engine->allocate(block_size + 100, Kind::shared, -1, HostPages::automatic);
    if (!last) break;
    *reinterpret_cast<volatile std::uint32_t*>(last->value) = 1;
    ranges.push_back(*last);
  }
  ASSERT_THAT(last, fails_with(ErrorCode::out_of_host_memory));
  EXPECT_THAT(std::string(last.error().detail()), HasSubstr("vm.max_map_count"));
  bool ran = false;
  std::thread([&ran] { ran = true; }).join();
  EXPECT_TRUE(ran);
  void* const program_memory = std::malloc(64 * mib);
  EXPECT_NE(program_memory, nullptr);
  std::free(program_memory);
  for (const Address range : ranges) {
    EXPECT_EQ(*reinterpret_cast<volatile std::uint32_t*>(range.value), 1u);
    EXPECT_TRUE(engine->free(range, FreeMode::wait));
  }
  EXPECT_TRUE(engine->allocate(mib, Kind::shared, -1, HostPages::automatic));
  for (void* one : own) ::munmap(one, 2 * page_size);
}

double processor_seconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// Sandboxes lower the limit once a program has opened what it needs. Nobody may spin then, and
// accesses go on.
TEST_P(Limits, of_no_descriptors_at_all_keep_accesses_going) {
  const os::ChildEnd end = os::run_forked([this] {
    open_here();
    std::uint32_t* data = words(4 * mib);
    expect_done(fill(0, data, 4 * mib, 9));
    const rlimit none = {0, 0};
    if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
    for (std::size_t i = 0; i < mib; ++i)
      if (data[i] != 9) return 2;
    const double before = processor_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    if (processor_seconds() - before > 0.25) return 3;
    expect_done(fill(0, data, 4 * mib, 10));
    if (data[5] != 10) return 4;
    engine = nullptr;
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

// What a program that closes every descriptor is told, and how it may end.
class ClosedDescriptors : public Limits {
 protected:
  enum End { right_bytes, wrong_bytes, no_own_file, refused_without_a_reason };

  static bool is_told(const Error& error) {
    const std::string text(error.detail());
    for (const char* reason : {"was closed by the program", "the program closed descriptor"})
      if (text.find(reason) != std::string::npos) return true;
    std::fprintf(stderr, "refused without the reason: %s\n", text.c_str());
    return false;
  }
  static bool holds(const std::uint32_t* data, std::size_t begin, std::size_t end,
                    std::uint32_t value) {
    return std::all_of(data + begin / 4, data + end / 4,
                       [value](std::uint32_t word) { return word == value; });
  }
  int use_after_closing(const char* path) {
    open_here();
    std::uint32_t* const data = words(4 * mib);
    std::uint32_t* const other = words(4 * mib);
    std::memset(other, 1, 4 * mib);
    expect_done(fill(0, data, 4 * mib, 9));
    for (int number = 3; number < 256; ++number) close_unseen(number);
    for (int number = 0; path != nullptr && number < 64; ++number)
      if (!open_unseen(path)) return no_own_file;
    if (const auto freed = engine->free(Address::of(other), FreeMode::wait);
        !freed && !is_told(freed.error()))
      return refused_without_a_reason;
    if (const auto made = engine->allocate(mib, Kind::shared, -1, HostPages::automatic);
        !made && !is_told(made.error()))
      return refused_without_a_reason;
    const auto filled = fill(0, data, mib, 10);
    if (!filled && !is_told(filled.error())) return refused_without_a_reason;
    const bool done = filled && engine->wait(*filled, {device::Clock::now() + limit, false});
    const bool right = holds(data, 0, mib, done ? 10 : 9) && holds(data, mib, 4 * mib, 9);
    return right ? right_bytes : wrong_bytes;
  }
  static constexpr std::chrono::seconds limit{30};
};

// A daemon closes what it does not know, and opens files of its own. Every byte that it then reads
// is right, or it ends by the signal of an access that cannot be answered and is told what it did;
// calls that are refused say so, too. Its own files are as they were.
TEST_P(ClosedDescriptors, of_a_program_are_missed_and_told) {
  for (const bool reused : {false, true}) {
    char path[] = "/tmp/sluice-descriptors-XXXXXX";
    const int file = ::mkstemp(path);
    const std::string bytes(4 * mib, 'D');
    ASSERT_EQ(::write(file, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    struct stat before = {};
    ASSERT_EQ(::fstat(file, &before), 0);
    const os::ChildEnd end =
        os::run_forked([&] { return use_after_closing(reused ? path : nullptr); });
    if (!end.exited_with(right_bytes)) {
      EXPECT_TRUE(end.killed_by(SIGSEGV)) << "status " << end.status << ": " << end.output;
      EXPECT_THAT(end.output, HasSubstr("the program closed descriptor"));
      EXPECT_THAT(end.output, testing::AnyOf(HasSubstr("an access is a segmentation fault"),
                                             HasSubstr("existed only")));
    }
    struct stat after = {};
    ASSERT_EQ(::fstat(file, &after), 0);
    EXPECT_EQ(after.st_blocks, before.st_blocks);
    EXPECT_EQ(after.st_size, before.st_size);
    std::string now(bytes.size(), 0);
    EXPECT_EQ(::pread(file, now.data(), now.size(), 0), static_cast<ssize_t>(now.size()));
    EXPECT_TRUE(now == bytes) << "the program's file was changed";
    ::close(file);
    ::unlink(path);
  }
}

TEST_P(Limits, of_a_program_without_standard_descriptors_never_give_their_numbers_away) {
  const os::ChildEnd end = os::run_forked([this] {
    for (const int standard : {0, 1, 2}) ::close(standard);
    std::atomic<bool> stop{false};
    std::atomic<bool> seen{false};
    // Another thread that prints would write there.
    std::thread printing([&] {
      while (!stop)
        for (const int standard : {0, 1, 2})
          if (const int flags = ::fcntl(standard, F_GETFL);
              flags >= 0 && (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY)
            seen = true;
    });
    int failed = 0;
    for (int time = 0; time < 10; ++time) {
      open_here();
      std::uint32_t* const data = words(mib);
      expect_done(fill(0, data, mib, 9));
      if (data[5] != 9 || !engine->find_kernel(0, "", "nothing")) failed = 2;
      engine = nullptr;
    }
    stop = true;
    printing.join();
    for (const int standard : {0, 1, 2})
      if (::fcntl(standard, F_GETFD) >= 0) return 3;
    return seen ? 1 : failed;
  });
  EXPECT_FALSE(end.exited_with(1)) << "a descriptor of the library was one of 0 to 2";
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST_P(Limits, on_addresses_and_files_leave_a_smaller_space) {
  if (os::under_address_sanitizer || os::under_thread_sanitizer)
    GTEST_SKIP()
        << "the sanitizer's own reservations are above the limit; run it in a tree without one";
  const os::ChildEnd end = os::run_forked([this] {
    const rlimit addresses = {std::size_t{4} << 30, std::size_t{4} << 30};
    const rlimit files = {std::size_t{200} << 20, std::size_t{200} << 20};
    if (::setrlimit(RLIMIT_AS, &addresses) != 0 || ::setrlimit(RLIMIT_FSIZE, &files) != 0) return 1;
    SpaceOptions options = small_devices(1);
    options.best_grade = GetParam();
    options.address_space = std::size_t{1} << 40;
    open(options);
    if (engine == nullptr) return 2;
    const std::size_t reserved = engine->status().address_space;
    if (reserved > std::size_t{200} << 20 || reserved < 64 * mib) return 3;
    std::uint32_t* data = words(16 * mib);
    expect_done(fill(0, data, 16 * mib, 9));
    if (data[77] != 9) return 4;
    engine = nullptr;
    return testing::Test::HasFailure() ? 5 : 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

// A child that lives on keeps nothing of its parent's memory.
TEST_P(Limits, of_a_forked_child_are_its_own) {
  open_here();
  std::uint32_t* data = words(4 * mib);
  expect_done(fill(0, data, 4 * mib, 9));
  const os::ChildEnd end = os::run_forked([] {
    std::ifstream file("/proc/self/maps");
    const std::string maps{std::istreambuf_iterator<char>(file), {}};
    if (maps.find("sluice-device") != std::string::npos) return 1;
    if (maps.find("not in core dumps") != std::string::npos) return 2;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code ignored;
      const std::string name = std::filesystem::read_symlink(entry.path(), ignored).string();
      if (name.find("sluice") != std::string::npos || name.find("userfault") != std::string::npos)
        return 3;
    }
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
  EXPECT_EQ(data[0], 9u);
}

constexpr auto all_grades = {Grade::full, Grade::user, Grade::signal};
constexpr auto name_of_grade = [](const auto& grade) {
  return std::string(to_string(grade.param));
};
INSTANTIATE_TEST_SUITE_P(grades, Limits, testing::ValuesIn(all_grades), name_of_grade);
INSTANTIATE_TEST_SUITE_P(grades, ClosedDescriptors, testing::ValuesIn(all_grades), name_of_grade);

}  // namespace
}  // namespace sluice::engine
