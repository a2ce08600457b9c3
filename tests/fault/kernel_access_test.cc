// The kernel's own accesses to managed memory: they work in grade full and get EFAULT in grade
// user. Never wrong bytes.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "os/owned_fd.hpp"
#include "world.hpp"

namespace sluice::fault {
namespace {

using os::OwnedFd;
constexpr std::uint64_t outside_word = 0x1234567887654321U;

struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    out = OwnedFd(ends[0]);
    in = OwnedFd(ends[1]);
  }
  OwnedFd out;
  OwnedFd in;
};

// A file of one page, with outside_word in front; invalid if the file system cannot open it so.
OwnedFd temporary_file(int flags) {
  std::string path = (std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string();
  OwnedFd file(::mkostemp(path.data(), O_CLOEXEC));
  std::array<std::uint64_t, page_size / 8> page{outside_word};
  EXPECT_EQ(::write(file.get(), page.data(), page_size), static_cast<ssize_t>(page_size));
  OwnedFd reopened(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags));
  ::unlink(path.c_str());
  return reopened;
}

// An access gives back 0 or an errno; what it moved is checked by the access itself.
struct KernelAccess {
  const char* name;
  int (*make)(World& world);
};

int moved(ssize_t bytes, std::size_t expected) {
  if (bytes < 0) return errno;
  EXPECT_EQ(bytes, static_cast<ssize_t>(expected));
  return 0;
}

int read_from_file(World& world) {
  const OwnedFd file = temporary_file(0);
  const int error = moved(::pread(file.get(), world.pointer(0), 8, 0), 8);
  if (error == 0) {
    EXPECT_EQ(world.word(0), outside_word);
  }
  EXPECT_EQ((&world.word(0))[1], device_word(world.view.begin + 8));
  return error;
}

int write_to_file(World& world) {
  const OwnedFd file = temporary_file(0);
  const int error = moved(::pwrite(file.get(), world.pointer(0), page_size, 0), page_size);
  std::uint64_t word = 0;
  EXPECT_EQ(::pread(file.get(), &word, 8, 0), 8);
  EXPECT_EQ(word, error == 0 ? device_word(world.view.begin) : outside_word);
  return error;
}

int read_from_pipe(World& world) {
  Pipe pipe;
  EXPECT_EQ(::write(pipe.in.get(), &outside_word, 8), 8);
  return moved(::read(pipe.out.get(), world.pointer(0), 8), 8);
}

int write_to_pipe(World& world) {
  Pipe pipe;
  const int error = moved(::write(pipe.in.get(), world.pointer(0), 8), 8);
  std::uint64_t word = 0;
  if (error == 0) {
    EXPECT_EQ(::read(pipe.out.get(), &word, 8), 8);
  }
  if (error == 0) {
    EXPECT_EQ(word, device_word(world.view.begin));
  }
  return error;
}

int direct(World& world, bool to_file) {
  const OwnedFd file = temporary_file(O_DIRECT);
  if (!file.is_open()) return -1;
  const int error = to_file ? moved(::pwrite(file.get(), world.pointer(0), page_size, 0), page_size)
                            : moved(::pread(file.get(), world.pointer(0), page_size, 0), page_size);
  if (error == 0 && !to_file) {
    EXPECT_EQ(world.word(0), outside_word);
  }
  return error;
}
int read_directly(World& world) { return direct(world, false); }
int write_directly(World& world) { return direct(world, true); }

int process_read(World& world) {
  std::uint64_t word = 0;
  const iovec local{&word, 8};
  const iovec remote{world.pointer(0), 8};
  const int error = moved(::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0), 8);
  if (error == 0) {
    EXPECT_EQ(word, device_word(world.view.begin));
  }
  return error;
}

int process_write(World& world) {
  std::uint64_t word = outside_word;
  const iovec local{&word, 8};
  const iovec remote{world.pointer(0), 8};
  const int error = moved(::process_vm_writev(::getpid(), &local, 1, &remote, 1, 0), 8);
  if (error == 0) {
    EXPECT_EQ(world.word(0), outside_word);
  }
  return error;
}

int splice_into_pipe(World& world) {
  Pipe pipe;
  const iovec from{world.pointer(0), 8};
  const int error = moved(::vmsplice(pipe.in.get(), &from, 1, 0), 8);
  std::uint64_t word = 0;
  if (error == 0) {
    EXPECT_EQ(::read(pipe.out.get(), &word, 8), 8);
  }
  if (error == 0) {
    EXPECT_EQ(word, device_word(world.view.begin));
  }
  return error;
}

// The word is not 0, so a futex that reads it does not wait.
int wait_on_futex(World& world) {
  const long result = ::syscall(SYS_futex, world.pointer(0), FUTEX_WAIT, 0, nullptr, nullptr, 0);
  EXPECT_EQ(result, -1);
  return errno == EAGAIN ? 0 : errno;
}

class KernelAccessTest : public ::testing::TestWithParam<KernelAccess> {};

TEST_P(KernelAccessTest, works_in_grade_full) {
  World world({.on_device = true});
  if (world.source->grade() != Grade::full) GTEST_SKIP() << world.source->reason();
  const int error = GetParam().make(world);
  if (error == -1)
    GTEST_SKIP()
        << "the file system of the temporary directory has no O_DIRECT (TMPDIR names another)";
  EXPECT_EQ(error, 0) << strerrorname_np(error);
  EXPECT_GE(world.faults(), 1);
}

TEST_P(KernelAccessTest, gets_efault_in_grade_user) {
  World world({.source = {.best = Grade::user}, .on_device = true});
  SLUICE_NEEDS_FAULTS(world);
  if (::dlsym(RTLD_DEFAULT, "sluice_guard_register") != nullptr)
    GTEST_SKIP() << "the guard brings buffers to the host first; run it without the guard";
  EXPECT_FALSE(world.source->reason().empty());
  const int error = GetParam().make(world);
  if (error == -1)
    GTEST_SKIP()
        << "the file system of the temporary directory has no O_DIRECT (TMPDIR names another)";
  EXPECT_EQ(error, EFAULT) << strerrorname_np(error);
}

TEST_P(KernelAccessTest, works_in_grade_user_once_pages_are_there) {
  World world({.source = {.best = Grade::user}, .on_device = true});
  SLUICE_NEEDS_FAULTS(world);
  world.word(0) = world.word(0);
  const int error = GetParam().make(world);
  if (error == -1)
    GTEST_SKIP()
        << "the file system of the temporary directory has no O_DIRECT (TMPDIR names another)";
  EXPECT_EQ(error, 0) << strerrorname_np(error);
}

INSTANTIATE_TEST_SUITE_P(Calls, KernelAccessTest,
                         ::testing::Values(KernelAccess{"ReadFromFile", read_from_file},
                                           KernelAccess{"WriteToFile", write_to_file},
                                           KernelAccess{"ReadFromPipe", read_from_pipe},
                                           KernelAccess{"WriteToPipe", write_to_pipe},
                                           KernelAccess{"ReadDirectly", read_directly},
                                           KernelAccess{"WriteDirectly", write_directly},
                                           KernelAccess{"ProcessRead", process_read},
                                           KernelAccess{"ProcessWrite", process_write},
                                           KernelAccess{"SpliceIntoPipe", splice_into_pipe},
                                           KernelAccess{"WaitOnFutex", wait_on_futex}),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(KernelAccess, a_long_read_crosses_many_pages) {
  World world;
  if (world.source->grade() != Grade::full) GTEST_SKIP() << world.source->reason();
  const OwnedFd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  for (std::size_t page = 0; page < pages_per_block; ++page) world.alias_word(page) = 1;
  ASSERT_EQ(::read(zeros.get(), world.pointer(0), block_size), static_cast<ssize_t>(block_size));
  for (std::size_t page = 0; page < pages_per_block; ++page) ASSERT_EQ(world.alias_word(page), 0U);
}

TEST(KernelAccess, debuggers_get_the_bytes_or_an_error_and_never_zeros) {
  World world({.on_device = true});
  SLUICE_NEEDS_FAULTS(world);
  const OwnedFd memory(::open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(memory.is_open());
  std::uint64_t word = 0;
  const ssize_t got = ::pread(memory.get(), &word, 8, static_cast<off_t>(world.view.begin.value));
  if (world.source->grade() == Grade::signal) {
    // A stated limit: page protection does not stop debuggers, so they see what the host has.
    EXPECT_EQ(got, 8);
    EXPECT_EQ(word, world.alias_word(0));
    EXPECT_NE(word, device_word(world.view.begin));
    return;
  }
  EXPECT_TRUE(got == -1 || word == device_word(world.view.begin)) << word;
}

}  // namespace
}  // namespace sluice::fault
