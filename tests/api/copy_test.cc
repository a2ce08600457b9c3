// Space::copy() against memmove(): all kinds of memory on both sides, overlaps, borders of pages,
// blocks and ranges, addresses that are no memory of a range, and devices that die.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "api/api_support.hpp"
#include "device_processes.hpp"

namespace sluice::api_test {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t block = std::size_t{2} << 20;
constexpr std::size_t range_size = 2 * block + 12345;

SpaceOptions with_grade(Grade grade) {
  SpaceOptions options = with_devices(2);
  options.best_grade = grade;
  return options;
}

// Memory that is copied from and to, and the bytes that it should hold.
struct Memory {
  const char* name;
  Space space;  // that copies it out for comparison
  std::byte* data;
  Bytes expected;
  bool migrates = false;
};

class CopyTest : public testing::TestWithParam<Grade> {
 protected:
  void add(const char* name, const Space& home, Range range) {
    memories.push_back(
        {name, home, range.data(), Bytes(range.size()), range.kind() == Kind::shared});
    ranges.push_back(std::move(range));
  }

  std::size_t below(std::size_t bound) { return random() % bound; }
  // Near a border of a page or block, or anywhere.
  std::size_t position() {
    const std::size_t border = below(2) == 0 ? below(2) * block + block : below(range_size);
    const std::size_t near = std::array<std::size_t, 4>{0, 1, 4096, 77}[below(4)];
    const std::size_t at = below(2) == 0 ? border - std::min(border, near) : border + near;
    return std::min(at, range_size - 1);
  }
  std::size_t length(std::size_t most) {
    const std::size_t wanted = std::array<std::size_t, 7>{1,
                                                          8,
                                                          4095 + below(3),
                                                          below(70000),
                                                          block - 1 + below(3),
                                                          most,
                                                          below(range_size)}[below(7)];
    return std::clamp<std::size_t>(wanted, 1, most);
  }
  void compare(Memory& memory) {
    Bytes found(memory.expected.size());
    ASSERT_TRUE(ok(memory.space.copy(found.data(), memory.data, found.size())));
    ASSERT_EQ(std::memcmp(found.data(), memory.expected.data(), found.size()), 0)
        << memory.name << " differs at byte "
        << std::mismatch(found.begin(), found.end(), memory.expected.begin()).first - found.begin()
        << ", seed " << seed;
    if (!memory.migrates) return;
    ASSERT_EQ(std::memcmp(memory.data, memory.expected.data(), found.size()), 0) << memory.name;
  }

  const unsigned seed = std::random_device()();
  std::mt19937 random{seed};
  Space space = take(Space::open(with_grade(GetParam())));
  Space other = take(Space::open(with_grade(GetParam())));
  std::vector<Range> ranges;
  std::vector<Memory> memories;
};

TEST_P(CopyTest, is_memmove_over_every_pair_of_memories) {
  Bytes plain(range_size);
  memories.push_back({"plain memory", space, plain.data(), Bytes(range_size)});
  add("a shared range", space, take(space.allocate(range_size)));
  add("another shared range", space, take(space.allocate(range_size)));
  add("a host range", space, take(space.allocate(range_size, Kind::host)));
  add("memory of device 0", space, take(space.allocate_on_device(0, range_size)));
  add("memory of device 1", space, take(space.allocate_on_device(1, range_size)));
  add("a shared range of another space", other, take(other.allocate(range_size)));
  add("a device's memory of another space", other, take(other.allocate_on_device(1, range_size)));
  for (Memory& memory : memories) {
    for (std::size_t i = 0; i + 4 <= range_size; i += 4) {
      const auto word = static_cast<std::uint32_t>(random());
      std::memcpy(&memory.expected[i], &word, sizeof word);
    }
    ASSERT_TRUE(ok(space.copy(memory.data, memory.expected.data(), range_size))) << memory.name;
  }
  for (int round = 0; round < 120; ++round) {
    Memory& from = memories[below(memories.size())];
    Memory& to = below(3) == 0 ? from : memories[below(memories.size())];
    for (Memory* side : {&from, &to}) {
      if (side->migrates && below(3) == 0) {
        ASSERT_TRUE(ok(
            take(side->space.prefetch(side->data + below(block), block,
                                      below(3) == 0 ? Location::host()
                                                    : Location::device(static_cast<int>(below(2)))))
                .wait()));
      }
    }
    const std::size_t origin = position();
    const std::size_t target =
        below(2) == 0 ? position() : std::min(origin + below(9000), range_size - 1);
    const std::size_t size = length(range_size - std::max(origin, target));
    ASSERT_TRUE(ok(space.copy(to.data + target, from.data + origin, size)));
    std::memmove(to.expected.data() + target, from.expected.data() + origin, size);
    if (round % 12 == 11) compare(to);
    if (testing::Test::HasFatalFailure()) {
      ADD_FAILURE() << size << " bytes from " << from.name << " + " << origin << " to " << to.name
                    << " + " << target;
      return;
    }
  }
  for (Memory& memory : memories) compare(memory);
  EXPECT_EQ(space.check(), std::nullopt);
  EXPECT_EQ(other.check(), std::nullopt);
}

// Both sides in turn: all that lies in no live range is refused, to the byte, and nothing is
// written.
TEST_P(CopyTest, refuses_what_is_not_all_in_a_range) {
  const std::size_t size = 300;
  Range shared = take(space.allocate(size));
  Range host = take(space.allocate(size, Kind::host));
  Range device = take(space.allocate_on_device(0, size));
  Range foreign = take(other.allocate(size));
  Bytes plain(8192, std::byte{1});
  std::byte* const nowhere = shared.data() + (std::size_t{1} << 30);
  for (const Range* range : {&shared, &host, &device, &foreign}) {
    for (std::byte* good : {plain.data(), device.data(), host.data()}) {
      for (const auto& [at, count] :
           {std::pair{range->data(), size + 1}, std::pair{range->data() + size, std::size_t{1}},
            std::pair{range->data() + 299, std::size_t{2}}, std::pair{nowhere, std::size_t{100}},
            std::pair{range->data(), block + 1}}) {
        EXPECT_THAT(space.copy(good, at, count), refuses(ErrorCode::unknown_address, "0x"));
        EXPECT_THAT(space.copy(at, good, count), refuses(ErrorCode::unknown_address, "0x"));
      }
    }
    EXPECT_THAT(space.copy(range->data(), range->data(), SIZE_MAX),
                refuses(ErrorCode::invalid_argument, "overflows"));
    // It begins below all managed addresses and reaches into them.
    EXPECT_THAT(space.copy(plain.data(), plain.data(), SIZE_MAX - 1).error().code(),
                testing::AnyOf(ErrorCode::invalid_argument, ErrorCode::unknown_address));
  }
  std::byte* const freed = take(space.allocate(size)).release();
  ASSERT_TRUE(ok(space.free(freed)));
  EXPECT_THAT(space.copy(plain.data(), freed, 8), refuses(ErrorCode::unknown_address, hex(freed)));
  EXPECT_THAT(space.copy(freed, device.data(), 8), refuses(ErrorCode::unknown_address, hex(freed)));
  EXPECT_EQ(plain, Bytes(8192, std::byte{1}));
}

// A thread frees and allocates the range that another one copies: bytes or an error, never a fault.
TEST_P(CopyTest, lives_beside_a_free_of_the_same_range) {
  std::atomic<std::byte*> shown{nullptr};
  std::atomic<bool> over{false};
  std::atomic<std::size_t> copied{0};
  std::thread owner([&] {
    // A busy machine may let every range end before a copy begins; so it goes on until one was
    // right.
    for (int round = 0; round < 60 || copied == 0; ++round) {
      Range range =
          round % 2 == 0 ? take(space.allocate(block)) : take(space.allocate_on_device(0, block));
      shown = range.data();
      std::this_thread::sleep_for(std::chrono::microseconds(round * 20));
    }
    over = true;
  });
  Bytes plain(block);
  while (!over) {
    std::byte* const data = shown;
    if (data == nullptr) continue;
    const Result<void> done = below(2) == 0 ? space.copy(plain.data(), data, block)
                                            : space.copy(data, plain.data(), block);
    if (done)
      ++copied;
    else
      EXPECT_EQ(done.error().code(), ErrorCode::unknown_address) << done.error().detail();
  }
  owner.join();
}

// --- devices that die ----------------------------------------------------------------------------

TEST_P(CopyTest, tells_of_a_dead_device_and_never_faults) {
  for (const int microseconds : {0, 0, 100, 300, 1000, 20000}) {
    const Space mortal = take(Space::open(with_grade(GetParam())));
    const auto buffer = take(mortal.buffer<std::uint32_t>(4 * block / 4));
    const Range on_device = take(mortal.allocate_on_device(0, block));
    {
      const Queue queue = take(mortal.queue(0));
      ASSERT_TRUE(ok(take(queue.launch(take(queue.kernel("fill")))
                              .writes(buffer)
                              .arguments(sluice_soft_fill{buffer.data(), 42})
                              .items(buffer.size())
                              .submit())
                         .wait()));
    }
    std::vector<std::uint32_t> words(buffer.size());
    std::vector<pid_t> processes = device_processes();
    ASSERT_FALSE(processes.empty());
    // One may have gone since it was listed.
    for (const pid_t process : processes)
      ASSERT_TRUE(::kill(process, SIGKILL) == 0 || errno == ESRCH);
    std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
    EXPECT_THAT(mortal.copy(words.data(), buffer.data(), buffer.size() * 4),
                refuses(ErrorCode::data_lost, "0x"));
    EXPECT_THAT(mortal.copy(buffer.data(), words.data(), buffer.size() * 4),
                refuses(ErrorCode::data_lost, "0x"));
    EXPECT_THAT(mortal.copy(words.data(), on_device.data(), block),
                refuses(ErrorCode::data_lost, "0x"));
    EXPECT_THAT(mortal.copy(on_device.data(), words.data(), block),
                refuses(ErrorCode::data_lost, "0x"));
    // What is given up reads as zero again.
    ASSERT_TRUE(ok(mortal.discard(buffer.data(), buffer.size() * 4)));
    EXPECT_TRUE(ok(mortal.copy(words.data(), buffer.data(), buffer.size() * 4)));
    EXPECT_EQ(words.front() | words.back(), 0U);
  }
}

// The device dies somewhere in the middle of a copy.
TEST_P(CopyTest, survives_a_death_in_the_middle) {
  for (int round = 0; round < 6; ++round) {
    const Space mortal = take(Space::open(with_grade(GetParam())));
    const Range range = take(mortal.allocate(8 * block));
    ASSERT_TRUE(ok(mortal.copy(range.data(), Bytes(8 * block, std::byte{7}).data(), 8 * block)));
    ASSERT_TRUE(ok(take(mortal.prefetch(range.data(), 8 * block, Location::device(0))).wait()));
    const std::vector<pid_t> processes = device_processes();
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
      for (const pid_t process : processes) ::kill(process, SIGKILL);
    });
    Bytes found(8 * block);
    for (int copies = 0; copies < 4; ++copies) {
      const Result<void> done = mortal.copy(found.data(), range.data(), found.size());
      if (done)
        EXPECT_EQ(found, Bytes(found.size(), std::byte{7}));
      else
        EXPECT_EQ(done.error().code(), ErrorCode::data_lost) << done.error().detail();
    }
    killer.join();
  }
}

// --- kernels and leases --------------------------------------------------------------------------

TEST_P(CopyTest, waits_for_the_kernel_that_writes_what_it_reads) {
  const auto buffer = take(space.buffer<std::uint32_t>(block / 4));
  const Queue queue = take(space.queue(0));
  const auto sleep = take(queue.kernel("sleep"));
  ASSERT_TRUE(
      take(queue.launch(sleep).writes(buffer).arguments(sluice_soft_sleep{50'000'000}).submit()) !=
      Fence());
  const Fence filled = take(queue.launch(take(queue.kernel("fill")))
                                .writes(buffer)
                                .arguments(sluice_soft_fill{buffer.data(), 9})
                                .items(buffer.size())
                                .submit());
  std::uint32_t last = 0;
  ASSERT_TRUE(ok(space.copy(&last, &buffer[buffer.size() - 1], sizeof last)));
  EXPECT_EQ(last, 9U);
  EXPECT_TRUE(filled.done());
}

TEST_P(CopyTest, tells_of_a_kernel_that_does_not_end) {
  SpaceOptions options = with_grade(GetParam());
  options.access_timeout = std::chrono::milliseconds(50);
  options.stuck = Stuck::deny;
  const Space strict = take(Space::open(options));
  const auto buffer = take(strict.buffer<std::uint32_t>(1024));
  const Queue idle = take(strict.queue(0));
  const Queue queue = take(strict.queue(0));
  const Fence fence = take(queue.launch(take(queue.kernel("sleep")))
                               .writes(buffer)
                               .arguments(sluice_soft_sleep{1'000'000'000})
                               .submit());
  std::uint32_t word = 0;
  const auto refused = strict.copy(&word, buffer.data(), sizeof word);
  EXPECT_THAT(refused, refuses(ErrorCode::timed_out, hex(buffer.data())));
  EXPECT_THAT(refused, refuses(ErrorCode::timed_out, "device 0, queue 1"));
  EXPECT_TRUE(ok(fence.wait()));
  EXPECT_TRUE(ok(strict.copy(&word, buffer.data(), sizeof word)));
}

INSTANTIATE_TEST_SUITE_P(grades, CopyTest, testing::Values(Grade::full, Grade::user, Grade::signal),
                         [](const auto& grade) { return std::string(to_string(grade.param)); });

}  // namespace
}  // namespace sluice::api_test
