// The descriptors of this library among those of the program.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "os/address_window.hpp"
#include "os/fork_guard.hpp"
#include "os/memory_file.hpp"
#include "os/new_descriptors.hpp"
#include "os/poll_files.hpp"
#include "os/process_support.hpp"

namespace sluice::os {
namespace {

OwnedFd event() { return OwnedFd(::eventfd(0, EFD_NONBLOCK)); }

TEST(Descriptors, are_above_the_standard_ones_and_end_at_exec) {
  const ChildEnd end = run_forked([] {
    for (const int standard : {0, 1, 2}) ::close(standard);
    for (int i = 0; i < 4; ++i) {
      const OwnedFd file = event();
      if (file.get() <= STDERR_FILENO) return 1;
      if ((::fcntl(file.get(), F_GETFD) & FD_CLOEXEC) == 0) return 2;
      const auto memory = make_memory_file("test", page_size);
      if (!memory || memory->get() <= STDERR_FILENO) return 3;
    }
    for (const int standard : {0, 1, 2})
      if (::fcntl(standard, F_GETFD) >= 0) return 4;
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

// What another thread prints meanwhile would go into the file.
TEST(Descriptors, are_above_the_standard_ones_from_the_start) {
  const ChildEnd end = run_forked([] {
    for (const int standard : {0, 2}) ::close(standard);
    static Calls watching = linux_calls();
    static bool seen = false;
    watching.memfd_create = [](const char* name, unsigned flags) {
      const int file = ::memfd_create(name, flags);
      seen = seen || file <= STDERR_FILENO;
      errno = 0;
      if (::write(STDERR_FILENO, "x", 1) >= 0 || errno != EBADF) seen = true;
      if (::read(STDIN_FILENO, &flags, 1) >= 0 || errno != EBADF) seen = true;
      return file;
    };
    replace_calls(watching);
    for (int i = 0; i < 3; ++i)
      if (!make_memory_file("test", page_size)) return 1;
    if (seen) return 2;
    return ::fcntl(0, F_GETFD) < 0 && ::fcntl(1, F_GETFD) >= 0 && ::fcntl(2, F_GETFD) < 0 ? 0 : 3;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST(Descriptors, of_other_threads_may_be_made_at_once_without_the_standard_ones) {
  const ChildEnd end = run_forked([] {
    for (const int standard : {0, 1, 2}) ::close(standard);
    std::atomic<int> taken{0};
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i)
        threads.emplace_back([&taken] {
          for (int time = 0; time < 500; ++time) {
            const NewDescriptors making;
            const int file = ::eventfd(0, EFD_CLOEXEC);
            if (file <= STDERR_FILENO) ++taken;
            ::close(file);
          }
        });
    }
    for (const int standard : {0, 1, 2})
      if (::fcntl(standard, F_GETFD) >= 0) return 2;
    return taken == 0 ? 0 : 1;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST(Descriptors, of_the_program_that_took_a_standard_number_meanwhile_is_kept) {
  const ChildEnd end = run_forked([] {
    ::close(2);
    {
      const NewDescriptors making;
      if (::fcntl(2, F_GETFD) < 0) return 1;
      if (::dup2(1, 2) != 2) return 2;
    }
    return ::fcntl(2, F_GETFD) >= 0 ? 0 : 3;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST(Descriptors, that_cannot_be_moved_are_not_kept) {
  const ChildEnd end = run_forked([] {
    ::close(0);
    const rlimit none_left = {3, 3};
    if (::setrlimit(RLIMIT_NOFILE, &none_left) != 0) return 1;
    const OwnedFd file = event();
    if (file.is_open()) return 2;
    if (errno != EMFILE) return 3;
    return ::fcntl(0, F_GETFD) < 0 ? 0 : 4;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST(Descriptors, of_the_program_are_not_closed) {
  auto file = make_memory_file("ours", page_size);
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->is_intact());
  const int number = file->get();
  const int program_file = ::memfd_create("the program's", MFD_CLOEXEC);
  ASSERT_EQ(::dup2(program_file, number), number);
  EXPECT_FALSE(file->is_intact());
  file->reset();
  EXPECT_GE(::fcntl(number, F_GETFD), 0);
  ::close(number);
  ::close(program_file);
}

TEST(Descriptors, are_closed_in_a_forked_child) {
  auto window = AddressWindow::reserve(std::size_t{1} << 30);
  ASSERT_TRUE(window);
  const auto guard = ForkGuard::over(window->span());  // installs the handler
  ASSERT_TRUE(guard);
  auto file = make_memory_file("ours", page_size);
  auto replaced = make_memory_file("ours, closed by the program", page_size);
  ASSERT_TRUE(file && replaced);
  const int program_file = ::memfd_create("the program's", MFD_CLOEXEC);
  ASSERT_EQ(::dup2(program_file, replaced->get()), replaced->get());
  const ChildEnd end = run_forked([&] {
    if (::fcntl(file->get(), F_GETFD) >= 0) return 1;
    if (::fcntl(replaced->get(), F_GETFD) < 0) return 2;
    // A number that the child has reused is the child's.
    const int again = ::dup2(program_file, file->get());
    file->reset();
    return ::fcntl(again, F_GETFD) >= 0 ? 0 : 3;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
  EXPECT_TRUE(file->is_intact());
  ::close(replaced->get());
  ::close(program_file);
}

TEST(MemoryFile, has_a_fixed_size) {
  const auto file = make_memory_file("test", page_size);
  ASSERT_TRUE(file);
  EXPECT_EQ(::ftruncate(file->get(), 0), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(file->get(), 2 * page_size), -1);
  EXPECT_EQ(::fcntl(file->get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
  EXPECT_EQ(::fallocate(file->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, page_size), 0);
}

TEST(MemoryFile, above_the_limit_on_files_is_an_error_and_no_signal) {
  const ChildEnd end = run_forked([] {
    const rlimit small = {page_size, page_size};
    if (::setrlimit(RLIMIT_FSIZE, &small) != 0) return 1;
    if (!make_memory_file("test", page_size)) return 2;
    const auto file = make_memory_file("test", 2 * page_size);
    if (file || file.error().code() != ErrorCode::out_of_host_memory) return 3;
    return file.error().detail().find("ulimit -f") != std::string_view::npos ? 0 : 4;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

TEST(PollFiles, waits_below_the_limit_of_descriptors) {
  const ChildEnd end = run_forked([] {
    const OwnedFd quiet = event();
    const OwnedFd bell = event();
    const rlimit none = {0, 0};
    if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
    pollfd files[] = {{quiet.get(), POLLIN, 0}, {-1, POLLIN, 0}, {bell.get(), POLLIN, 0}};
    if (::poll(files, 3, 0) >= 0 || errno != EINVAL) return 2;  // or there is nothing to test
    if (poll_files(files, 3, 10) != 0) return 3;
    ::eventfd_write(bell.get(), 1);
    if (poll_files(files, 3, -1) != 1) return 4;
    if (files[0].revents != 0 || files[1].revents != 0 || files[2].revents != POLLIN) return 5;
    pollfd writable = {bell.get(), POLLOUT, 0};
    if (poll_files(&writable, 1, -1) != 1 || writable.revents != POLLOUT) return 7;
    ::close(quiet.get());
    if (poll_files(files, 3, -1) != 1 || files[0].revents != POLLNVAL) return 6;
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status;
}

}  // namespace
}  // namespace sluice::os
