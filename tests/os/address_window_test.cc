#include "os/address_window.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "os/failing_calls.hpp"
#include "os/process_support.hpp"

namespace sluice::os {
namespace {

constexpr std::size_t gib = std::size_t{1} << 30;

constexpr std::size_t expected_size = (under_thread_sanitizer ? 128 : 1024) * gib;

TEST(AddressWindow, is_reserved_aligned_and_named) {
  const auto window = AddressWindow::reserve();
  ASSERT_TRUE(window) << window.error().detail();
  EXPECT_EQ(window->span().size, expected_size);
  EXPECT_EQ(window->span().begin.value % block_size, 0U);
  const std::string line = mapping_at(pointer_for_call(window->span().begin));
  EXPECT_NE(line.find("---p"), std::string::npos) << line;
  EXPECT_TRUE(!mappings_have_names() || line.find("sluice window") != std::string::npos) << line;
}

// Linux counts the window as locked. Root may lock what it likes, so the child becomes an ordinary
// user.
void reserve_where_all_is_locked() {
  const rlimit limit = {8 << 20, 8 << 20};
  if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0) std::_Exit(2);
  if (::geteuid() == 0 && ::setuid(65534) != 0) std::_Exit(3);
  if (::mlockall(MCL_FUTURE) != 0) std::_Exit(4);
  const auto window = AddressWindow::reserve();
  if (window) std::_Exit(5);
  std::fprintf(stderr, "%s\n", std::string(window.error().detail()).c_str());
  std::_Exit(0);
}

TEST(AddressWindowDeathTest, names_the_limit_on_locked_memory) {
  if (under_thread_sanitizer || under_address_sanitizer)
    GTEST_SKIP() << "a sanitizer's mlockall locks nothing; run it in a tree without one";
  EXPECT_EXIT(reserve_where_all_is_locked(), testing::ExitedWithCode(0), "ulimit -l");
}

TEST(AddressWindow, adopts_addresses_and_leaves_plain_memory_there) {
  constexpr std::size_t size = 2 * block_size;
  void* const got = ::mmap(nullptr, size + block_size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(got, MAP_FAILED);
  const Address begin{round_up(Address::of(got).value, block_size)};
  auto* const first = static_cast<char*>(pointer_for_call(begin));
  *first = 1;
  {
    const auto window = AddressWindow::adopt({begin, size});
    ASSERT_TRUE(window) << window.error().detail();
    EXPECT_EQ(window->span(), (AddressSpan{begin, size}));
    EXPECT_NE(mapping_at(first).find("---p"), std::string::npos);
  }
  EXPECT_EQ(*first, 0);
  *first = 2;
  ::munmap(got, size + block_size);
}

TEST(AddressWindow, adopts_whole_blocks_only) {
  for (const AddressSpan span : {AddressSpan{{block_size}, 0}, AddressSpan{{block_size}, page_size},
                                 AddressSpan{{block_size + page_size}, block_size}}) {
    const auto window = AddressWindow::adopt(span);
    ASSERT_FALSE(window);
    EXPECT_EQ(window.error().code(), ErrorCode::invalid_argument);
  }
}

TEST(AddressWindow, reserves_just_these_addresses_where_nothing_is) {
  AddressSpan span;
  {
    const auto free_now = AddressWindow::reserve(block_size, block_size);
    ASSERT_TRUE(free_now) << free_now.error().detail();
    span = {free_now->span().begin + page_size, 3 * page_size};
    const auto taken = AddressWindow::reserve_at(span);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code(), ErrorCode::busy);
  }
  {
    const auto window = AddressWindow::reserve_at(span);
    ASSERT_TRUE(window) << window.error().detail();
    EXPECT_EQ(window->span(), span);
    EXPECT_NE(mapping_at(pointer_for_call(span.begin)).find("---p"), std::string::npos);
    EXPECT_FALSE(AddressWindow::reserve_at({span.begin + page_size, page_size}));
  }
  EXPECT_TRUE(AddressWindow::reserve_at(span)) << "it is free again";
  const auto nobodys = AddressWindow::reserve_at({Address{std::uintptr_t{1} << 63}, page_size});
  ASSERT_FALSE(nobodys);
  EXPECT_EQ(nobodys.error().code(), ErrorCode::out_of_host_memory);
}

TEST(AddressWindow, lies_below_where_libraries_and_executables_live) {
  const auto window = AddressWindow::reserve();
  ASSERT_TRUE(window);
  const int on_the_stack = 0;
  EXPECT_LT(window->span().end(), Address::of(&on_the_stack));
  EXPECT_LT(window->span().end(), Address::of(reinterpret_cast<const void*>(&::mmap)));
}

TEST(AddressWindow, several_live_at_once_and_apart) {
  std::vector<AddressWindow> windows;
  for (int i = 0; i < 5; ++i) {
    auto window = AddressWindow::reserve(64 * gib);
    ASSERT_TRUE(window) << window.error().detail();
    for (const AddressWindow& other : windows)
      EXPECT_TRUE(window->span().end() <= other.span().begin ||
                  other.span().end() <= window->span().begin);
    windows.push_back(std::move(*window));
  }
}

TEST(AddressWindow, gives_its_addresses_back) {
  const Holdings before = holdings();
  AddressSpan first;
  {
    const auto window = AddressWindow::reserve();
    ASSERT_TRUE(window);
    first = window->span();
  }
  EXPECT_EQ(holdings(), before);
  const auto again = AddressWindow::reserve();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->span(), first);
}

TEST(AddressWindow, moves_its_ownership) {
  auto first = AddressWindow::reserve(gib, gib);
  auto second = AddressWindow::reserve(gib, gib);
  ASSERT_TRUE(first && second);
  const AddressSpan kept = second->span();
  const AddressSpan dropped = first->span();
  *first = std::move(*second);
  EXPECT_EQ(first->span(), kept);
  EXPECT_EQ(second->span().size, 0U);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(mapping_at(pointer_for_call(dropped.begin)), "");
}

TEST(AddressWindow, refuses_bad_sizes) {
  for (const std::size_t size : {std::size_t{0}, page_size, block_size + 1})
    EXPECT_EQ(AddressWindow::reserve(size, 1).error().code(), ErrorCode::invalid_argument) << size;
  EXPECT_EQ(AddressWindow::reserve(gib, 2 * gib).error().code(), ErrorCode::invalid_argument);
}

TEST(AddressWindow, skips_an_occupied_candidate) {
  const auto usual = AddressWindow::reserve(gib, gib);
  ASSERT_TRUE(usual);
  const auto next = AddressWindow::reserve(gib, gib);  // the first candidate is taken now
  ASSERT_TRUE(next);
  EXPECT_NE(next->span().begin, usual->span().begin);
}

TEST(AddressWindow, halves_under_a_limit) {
  FailingCalls calls;
  calls.fail(&Calls::mmap, 1, ENOMEM);  // what ulimit -v answers
  const auto window = AddressWindow::reserve(64 * gib, 16 * gib);
  ASSERT_TRUE(window) << window.error().detail();
  EXPECT_EQ(window->span().size,
            (under_thread_sanitizer ? 32 : 64) * gib);  // elsewhere, the next region still had room
  calls.fail(&Calls::name_memory, 1, EINVAL);
  EXPECT_TRUE(AddressWindow::reserve(gib, gib)) << "a kernel without names for mappings";
}

TEST(AddressWindow, says_so_when_nothing_is_left) {
  if (under_thread_sanitizer || under_address_sanitizer)
    GTEST_SKIP() << "a sanitizer's shadow is over any limit; run it in a tree without one";
  const ChildEnd end = run_forked([] {
    const rlimit little = {4 * gib, 4 * gib};
    if (::setrlimit(RLIMIT_AS, &little) != 0) return 77;
    const auto small = AddressWindow::reserve(1024 * gib, block_size);
    if (!small || small->span().size >= 4 * gib) return 1;
    const auto none = AddressWindow::reserve(1024 * gib, 64 * gib);
    return !none && none.error().code() == ErrorCode::out_of_host_memory ? 0 : 2;
  });
  if (end.exited_with(77))
    GTEST_SKIP() << "setrlimit(RLIMIT_AS) is refused here; raise the hard limit (ulimit -Hv)";
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

TEST(AddressWindow, clears_what_is_mapped_in_it) {
  const auto window = AddressWindow::reserve(gib, gib);
  ASSERT_TRUE(window);
  void* const at = pointer_for_call(window->span().begin + block_size);
  ASSERT_EQ(
      ::mmap(at, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
      at);
  ASSERT_TRUE(window->clear({Address::of(at), page_size}));
  EXPECT_NE(mapping_at(at).find("---p"), std::string::npos);
  EXPECT_EQ(mapping_at(at), mapping_at(pointer_for_call(window->span().begin)))
      << "one mapping again";
}

}  // namespace
}  // namespace sluice::os
