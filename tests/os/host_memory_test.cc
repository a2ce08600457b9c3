#include "os/host_memory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "os/failing_calls.hpp"
#include "os/machine.hpp"
#include "os/process_support.hpp"

namespace sluice::os {
namespace {

constexpr std::size_t window_size = std::size_t{4} << 30;

std::unique_ptr<HostMemory> make_memory() {
  auto window = AddressWindow::reserve(window_size, window_size);
  if (!window) throw std::runtime_error(std::string(window.error().detail()));
  auto memory = HostMemory::create(std::move(*window));
  if (!memory) throw std::runtime_error(std::string(memory.error().detail()));
  return std::move(*memory);
}

volatile std::uint64_t& word_at(Address address) {
  return *reinterpret_cast<volatile std::uint64_t*>(address.value);
}
volatile std::uint64_t& alias_word_at(const HostMemory& memory, Address address) {
  return *reinterpret_cast<volatile std::uint64_t*>(memory.alias(address));
}

class HostMemoryTest : public ::testing::Test {
 protected:
  [[nodiscard]] AddressSpan span_at(std::size_t offset, std::size_t size) const {
    return {memory->window().begin + offset, size};
  }

  std::unique_ptr<HostMemory> memory = make_memory();
};

TEST_F(HostMemoryTest, costs_nothing_until_touched) {
  ASSERT_TRUE(memory->map_view(span_at(0, window_size), HostPages::small));
  EXPECT_EQ(bytes_held(memory->file()), 0U);
}

TEST_F(HostMemoryTest, shows_the_same_bytes_in_both_views) {
  const AddressSpan span = span_at(3 * block_size, 2 * block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  for (const std::size_t offset : {std::size_t{0}, page_size, span.size - 8}) {
    EXPECT_EQ(word_at(span.begin + offset), 0U);
    word_at(span.begin + offset) = offset + 1;
    EXPECT_EQ(alias_word_at(*memory, span.begin + offset), offset + 1);
    alias_word_at(*memory, span.begin + offset) = offset + 2;
    EXPECT_EQ(word_at(span.begin + offset), offset + 2);
  }
}

TEST_F(HostMemoryTest, keeps_views_out_of_forks_and_core_dumps) {
  const AddressSpan span = span_at(0, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  for (const void* view : {static_cast<const void*>(memory->alias(span.begin)),
                           static_cast<const void*>(pointer_for_call(span.begin))}) {
    EXPECT_NE(flags_at(view).find(" dc"), std::string::npos)
        << flags_at(view);  // not copied on fork
    EXPECT_NE(flags_at(view).find(" dd"), std::string::npos)
        << flags_at(view);  // not in core dumps
  }
}

TEST_F(HostMemoryTest, leaves_the_rest_of_the_alias_closed) {
  const AddressSpan span = span_at(block_size, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  EXPECT_NE(mapping_at(memory->alias(span.begin)).find("rw-s"), std::string::npos);
  EXPECT_NE(mapping_at(memory->alias(span.begin + block_size)).find("---s"), std::string::npos);
  ASSERT_TRUE(memory->unmap_view(span));
  EXPECT_NE(mapping_at(memory->alias(span.begin)).find("---s"), std::string::npos);
  EXPECT_NE(mapping_at(pointer_for_call(span.begin)).find("---p"), std::string::npos);
}

TEST_F(HostMemoryTest, neighbouring_ranges_share_mappings) {
  const std::size_t before = holdings().own_mappings;
  for (std::size_t i = 0; i < 200; ++i)
    ASSERT_TRUE(memory->map_view(span_at(i * block_size, block_size), HostPages::small));
  EXPECT_LE(holdings().own_mappings, before + 2);
}

TEST_F(HostMemoryTest, unmapping_returns_the_memory) {
  const AddressSpan span = span_at(0, 4 * block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  ASSERT_TRUE(memory->populate(span));
  EXPECT_EQ(bytes_held(memory->file()), span.size);
  ASSERT_TRUE(memory->unmap_view(span));
  EXPECT_EQ(bytes_held(memory->file()), 0U);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  EXPECT_EQ(word_at(span.begin), 0U);
}

TEST_F(HostMemoryTest, discarded_bytes_read_as_zero_and_cost_nothing) {
  const AddressSpan span = span_at(0, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  std::memset(memory->alias(span.begin), 0x5a, span.size);
  ASSERT_TRUE(memory->discard(span_at(page_size, 2 * page_size)));
  EXPECT_EQ(bytes_held(memory->file()), span.size - 2 * page_size);
  EXPECT_EQ(word_at(span.begin + page_size), 0U);
  EXPECT_EQ(word_at(span.begin), 0x5a5a5a5a5a5a5a5aU);
  EXPECT_EQ(word_at(span.begin + 3 * page_size), 0x5a5a5a5a5a5a5a5aU);
}

TEST_F(HostMemoryTest, reports_the_pages_in_force) {
  const HostPages automatic = memory->no_private_tmpfs().empty() || transparent_shared_pages()
                                  ? HostPages::transparent
                                  : HostPages::small;
  EXPECT_EQ(memory->map_view(span_at(0, block_size), HostPages::automatic).value(), automatic);
  EXPECT_EQ(memory->map_view(span_at(block_size, page_size), HostPages::automatic).value(),
            HostPages::small);
  EXPECT_EQ(memory->map_view(span_at(2 * block_size, block_size), HostPages::transparent).value(),
            HostPages::transparent);
  EXPECT_EQ(memory->pages_at(memory->window().begin), automatic);
  EXPECT_EQ(memory->pages_at(memory->window().begin + 2 * block_size), HostPages::transparent);
  EXPECT_EQ(memory->pages_at(memory->window().begin + 3 * block_size), HostPages::small);
  EXPECT_EQ(memory->granule_at(memory->window().begin), page_size);
}

TEST_F(HostMemoryTest, transparent_pages_are_really_taken) {
  if (!memory->no_private_tmpfs().empty() && !transparent_shared_pages())
    GTEST_SKIP() << "memory files have no huge pages; echo advise > "
                    "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
  const AddressSpan span = span_at(0, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::transparent));
  alias_word_at(*memory, span.begin) = 1;
  if (bytes_held(memory->file()) != block_size)
    GTEST_SKIP()
        << "memory is too fragmented for a huge page; echo 1 > /proc/sys/vm/compact_memory";
  SUCCEED();
}

// Bytes of the file at `offset` that a mapping without advice has as one huge page.
std::size_t huge_bytes_at(int file, std::size_t offset) {
  void* const room = ::mmap(nullptr, 2 * block_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const Address aligned{round_up(Address::of(room).value, block_size)};
  auto* const view =
      static_cast<volatile char*>(::mmap(pointer_for_call(aligned), block_size, PROT_READ,
                                         MAP_SHARED | MAP_FIXED, file, static_cast<off_t>(offset)));
  (void)view[0];
  std::size_t huge = 0;
  std::ifstream maps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("-") != std::string::npos && line.find(' ') > line.find('-'))
      here = std::stoull(line, nullptr, 16) == aligned.value;
    if (here && line.starts_with("ShmemPmdMapped:")) huge = std::stoull(line.substr(15)) * 1024;
  }
  ::munmap(room, 2 * block_size);
  return huge;
}

TEST_F(HostMemoryTest, automatic_ranges_take_huge_pages_for_whole_blocks_alone) {
  if (!memory->no_private_tmpfs().empty()) GTEST_SKIP() << memory->no_private_tmpfs();
  const AddressSpan span = span_at(0, 4 * block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::automatic));
  alias_word_at(*memory, span.begin) = 1;
  word_at(span.begin + block_size) = 1;
  ASSERT_TRUE(memory->populate(span_at(2 * block_size - page_size, block_size)));
  EXPECT_EQ(bytes_held(memory->file()), 2 * page_size + block_size);
  ASSERT_TRUE(memory->populate(span_at(3 * block_size - page_size, block_size + page_size)));
  EXPECT_EQ(bytes_held(memory->file()), 3 * page_size + 2 * block_size);
  EXPECT_EQ(word_at(span.begin + 3 * block_size), 0U);
  word_at(span.begin + 3 * block_size + page_size) = 9;
  EXPECT_EQ(alias_word_at(*memory, span.begin + 3 * block_size + page_size), 9U);
  EXPECT_EQ(huge_bytes_at(memory->file(), 2 * block_size), 0U);
  if (huge_bytes_at(memory->file(), 3 * block_size) == 0)
    GTEST_SKIP() << "memory is too fragmented for a huge page";

  // A part of a huge page can be given back, and reads as zero.
  ASSERT_TRUE(memory->discard(span_at(3 * block_size + page_size, page_size)));
  EXPECT_EQ(word_at(span.begin + 3 * block_size + page_size), 0U);
  ASSERT_TRUE(memory->unmap_view(span));
  EXPECT_EQ(bytes_held(memory->file()), 0U);
}

TEST_F(HostMemoryTest, small_pages_stay_small) {
  const AddressSpan span = span_at(0, 2 * block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  ASSERT_TRUE(memory->populate(span_at(0, block_size)));
  word_at(span.begin + block_size) = 1;
  EXPECT_EQ(bytes_held(memory->file()), block_size + page_size);
  EXPECT_EQ(huge_bytes_at(memory->file(), 0), 0U);
}

TEST_F(HostMemoryTest, huge_pages_are_all_taken_at_once_and_given_back) {
  if (inspect_machine().huge_pages.pool_free < 2)
    GTEST_SKIP() << "the pool of huge pages is empty; sysctl vm.nr_hugepages=16 fills it";
  const AddressSpan span = span_at(block_size, 2 * block_size);
  const auto mapped = memory->map_view(span, HostPages::huge);
  ASSERT_TRUE(mapped) << mapped.error().detail();
  EXPECT_EQ(*mapped, HostPages::huge);
  EXPECT_EQ(memory->granule_at(span.begin), block_size);
  EXPECT_EQ(bytes_held(memory->huge_file()), span.size);
  word_at(span.begin + block_size) = 7;
  EXPECT_EQ(alias_word_at(*memory, span.begin + block_size), 7U);
  ASSERT_TRUE(memory->discard(span));
  EXPECT_EQ(word_at(span.begin + block_size), 0U);
  EXPECT_EQ(bytes_held(memory->huge_file()), span.size);
  EXPECT_EQ(memory->unmap_view(span_at(block_size, page_size)).error().code(),
            ErrorCode::invalid_argument);
  ASSERT_TRUE(memory->unmap_view(span));
  EXPECT_EQ(bytes_held(memory->huge_file()), 0U);
  EXPECT_EQ(memory->granule_at(span.begin), page_size);
}

TEST_F(HostMemoryTest, huge_pages_that_the_pool_cannot_hold_are_refused) {
  const auto mapped = memory->map_view(span_at(0, window_size),
                                       HostPages::huge);  // more than any test machine sets aside
  ASSERT_FALSE(mapped);
  EXPECT_TRUE(mapped.error().code() == ErrorCode::out_of_host_memory ||
              mapped.error().code() == ErrorCode::unsupported);
  if (memory->huge_file() >= 0) {
    EXPECT_EQ(bytes_held(memory->huge_file()), 0U);
  }
  EXPECT_TRUE(memory->map_view(span_at(0, block_size), HostPages::small))
      << "the addresses are still good";
}

TEST_F(HostMemoryTest, refuses_spans_that_are_not_its_own) {
  const AddressSpan bad[] = {span_at(0, 0),
                             span_at(1, page_size),
                             span_at(0, page_size + 1),
                             span_at(window_size, page_size),
                             span_at(page_size, window_size),
                             {{memory->window().begin.value - page_size}, page_size},
                             span_at(page_size, ~std::size_t{0} - page_size + 1)};
  for (const AddressSpan& span : bad) {
    EXPECT_EQ(memory->map_view(span, HostPages::small).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(memory->unmap_view(span).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(memory->discard(span).error().code(), ErrorCode::invalid_argument);
    EXPECT_EQ(memory->populate(span).error().code(), ErrorCode::invalid_argument);
  }
  EXPECT_EQ(memory->map_view(span_at(page_size, block_size), HostPages::huge).error().code(),
            ErrorCode::invalid_argument);
}

TEST_F(HostMemoryTest, exhaustion_is_an_error_and_no_signal) {
  const AddressSpan span = span_at(0, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  FailingCalls calls;
  calls.fail(&Calls::madvise, 1,
             EFAULT);  // what the kernel answers where a touch would raise SIGBUS
  EXPECT_EQ(memory->populate(span).error().code(), ErrorCode::out_of_host_memory);
  calls.fail(&Calls::madvise, 1, EINTR);
  EXPECT_TRUE(memory->populate(span)) << "an interrupted call is repeated";
}

TEST_F(HostMemoryTest, survives_an_unmapping_behind_its_back) {
  const AddressSpan span = span_at(0, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  ASSERT_EQ(::munmap(pointer_for_call(span.begin), page_size), 0);
  EXPECT_TRUE(memory->populate(span))
      << "the bytes are in the file, whatever the program did to its view";
  EXPECT_TRUE(memory->discard(span));
  EXPECT_TRUE(memory->unmap_view(span));
}

TEST(HostMemoryFailures, a_creation_that_fails_leaves_nothing) {
  for (std::size_t kind = 0; kind < FailingCalls::kinds; ++kind) {
    if (FailingCalls::releases(kind)) continue;
    for (int nth = 1;; ++nth) {
      const Holdings before = holdings();
      FailingCalls calls;
      auto window = AddressWindow::reserve(window_size, window_size);
      ASSERT_TRUE(window);
      const int already = calls.made(kind);
      calls.fail(kind, nth, ENOMEM);
      {
        const auto memory = HostMemory::create(std::move(*window));
        if (!memory) {
          EXPECT_FALSE(memory.error().detail().empty());
        }
      }
      {
        const AddressWindow dropped = std::move(*window);
      }
      EXPECT_EQ(holdings(), before) << "call " << nth << " of kind " << kind;
      if (calls.made(kind) < already + nth) break;
    }
  }
}

TEST_F(HostMemoryTest, a_mapping_that_fails_leaves_nothing_mapped) {
  const AddressSpan span = span_at(block_size, block_size);
  for (const std::size_t kind :
       {FailingCalls::number(&Calls::mmap), FailingCalls::number(&Calls::madvise),
        FailingCalls::number(&Calls::mprotect)}) {
    for (int nth = 1;; ++nth) {
      const Holdings before = holdings();
      const auto mapped = [&] {
        FailingCalls calls;
        calls.fail(kind, nth, ENOMEM);
        return memory->map_view(span, HostPages::transparent);
      }();
      if (mapped) {  // with fewer calls than that
        ASSERT_TRUE(memory->unmap_view(span));
        break;
      }
      EXPECT_EQ(mapped.error().code(), ErrorCode::out_of_host_memory);
      EXPECT_EQ(holdings(), before);
      EXPECT_NE(mapping_at(pointer_for_call(span.begin)).find("---p"), std::string::npos);
    }
  }
}

// Giving back must not depend on what may have run out: mappings, descriptors, or what a sandbox
// refuses.
TEST_F(HostMemoryTest, gives_back_whatever_one_call_says) {
  const AddressSpan span = span_at(block_size, block_size);
  for (const std::size_t kind :
       {FailingCalls::number(&Calls::mmap), FailingCalls::number(&Calls::madvise),
        FailingCalls::number(&Calls::fallocate)}) {
    ASSERT_TRUE(memory->map_view(span, HostPages::small));
    ASSERT_TRUE(memory->populate(span));
    FailingCalls calls;
    calls.fail(kind, 1, ENOMEM);
    EXPECT_TRUE(memory->unmap_view(span));
    EXPECT_EQ(bytes_held(memory->file()), 0U);
    EXPECT_NE(mapping_at(pointer_for_call(span.begin)).find("---"), std::string::npos);
  }
}

TEST_F(HostMemoryTest, hands_out_zeros_though_nothing_could_be_given_back) {
  const AddressSpan span = span_at(block_size, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  std::memset(memory->alias(span.begin), 0x5a, span.size);
  {
    FailingCalls calls;
    calls.fail(&Calls::madvise, 1, EPERM);
    calls.fail(&Calls::fallocate, 1, EPERM);
    EXPECT_TRUE(memory->unmap_view(span)) << "the bytes are cleared";
  }
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  for (std::size_t offset = 0; offset < span.size; offset += 8)
    ASSERT_EQ(word_at(span.begin + offset), 0U) << offset;
}

TEST_F(HostMemoryTest, cleans_what_was_written_through_a_view_that_could_not_be_taken_down) {
  const AddressSpan span = span_at(block_size, 2 * block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  {
    FailingCalls calls;
    calls.fail(&Calls::mmap, 1, ENOMEM);
    calls.fail(&Calls::mprotect, 1, ENOMEM);
    EXPECT_TRUE(memory->unmap_view(span));
  }
  word_at(span.begin + block_size) = 7;  // the program uses what it has freed
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  EXPECT_EQ(word_at(span.begin + block_size), 0U);
  ASSERT_TRUE(memory->unmap_view(span));
}

TEST_F(HostMemoryTest, leaves_files_of_the_program_alone) {
  const AddressSpan span = span_at(0, block_size);
  ASSERT_TRUE(memory->map_view(span, HostPages::small));
  std::memset(memory->alias(span.begin), 0x5a, span.size);
  // The program closes a descriptor that it does not know; a file of its own gets the number.
  const OwnedFd kept(::fcntl(memory->file(), F_DUPFD_CLOEXEC, 3));
  const OwnedFd program_file(::memfd_create("the program's", MFD_CLOEXEC));
  ASSERT_EQ(::ftruncate(program_file.get(), static_cast<off_t>(2 * block_size)), 0);
  ASSERT_EQ(::fallocate(program_file.get(), 0, 0, static_cast<off_t>(2 * block_size)), 0);
  ASSERT_EQ(::dup2(program_file.get(), memory->file()), memory->file());
  EXPECT_FALSE(memory->has_files());
  EXPECT_TRUE(memory->unmap_view(span)) << "no descriptor is needed";
  EXPECT_EQ(bytes_held(kept.get()), 0U);
  EXPECT_EQ(bytes_held(program_file.get()), 2 * block_size);
  const auto mapped = memory->map_view(span, HostPages::small);
  ASSERT_FALSE(mapped);
  EXPECT_EQ(mapped.error().code(), ErrorCode::system);
  const int number = memory->file();
  memory = nullptr;
  EXPECT_EQ(bytes_held(number), 2 * block_size) << "the program's descriptor is still open";
  ::close(number);
}

// A sandbox that only leaves some room: less is reserved.
TEST(HostMemoryLimits, reserves_what_limits_leave) {
  if (under_address_sanitizer || under_thread_sanitizer)
    GTEST_SKIP()
        << "the sanitizer's own reservations are above the limit; run it in a tree without one";
  const ChildEnd end = run_forked([] {
    const rlimit addresses = {std::size_t{8} << 30, std::size_t{8} << 30};
    if (::setrlimit(RLIMIT_AS, &addresses) != 0) return 1;
    {
      const auto memory = HostMemory::reserve(std::size_t{1} << 40, 0);
      if (!memory) return 2;
      if ((*memory)->window().size < (std::size_t{1} << 30)) return 3;
      if (!(*memory)->map_view({(*memory)->window().begin, block_size}, HostPages::small)) return 4;
    }
    const rlimit files = {std::size_t{100} << 20, std::size_t{100} << 20};
    if (::setrlimit(RLIMIT_FSIZE, &files) != 0) return 5;
    {
      const auto memory = HostMemory::reserve(std::size_t{1} << 40, 0);
      if (!memory || (*memory)->window().size != std::size_t{100} << 20) return 6;
    }
    const rlimit few = {1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &few) != 0) return 7;
    const auto memory = HostMemory::reserve(std::size_t{1} << 40, 0);
    if (memory || memory.error().code() != ErrorCode::out_of_host_memory) return 8;
    return memory.error().detail().find("ulimit -f") != std::string_view::npos ? 0 : 9;
  });
  EXPECT_TRUE(end.exited_with(0)) << end.status << end.output;
}

}  // namespace
}  // namespace sluice::os
