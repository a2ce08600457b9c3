// Strict mode: every access that a launch does not name is told of, in words that say what to
// write, and the bytes are right.
//
// In grades full, user and signal, on devices with recoverable faults and on those that do not.
#include <array>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include <unistd.h>

#include "api_support.hpp"

#include <rapidcheck/gtest.h>

#include "sluice.h"

namespace sluice::api_test {
namespace {

using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::size_t page = 4096;

SpaceOptions strict_options(Strict strict, Grade grade, bool recoverable) {
  SpaceOptions options = with_devices(2);
  options.address_space = std::size_t{1} << 34;
  options.strict = strict;
  options.best_grade = grade;
  options.software.recoverable_fault_devices = recoverable ? 3 : 0;
  return options;
}

class StrictTest : public testing::TestWithParam<std::tuple<Grade, bool>> {
 protected:
  void SetUp() override { open(Strict::report); }
  void TearDown() override {
    if (space) {
      EXPECT_EQ(space->check(), std::nullopt);
    }
  }
  void open(Strict strict) {
    queue.reset();
    space.reset();
    space = take(Space::open(options(strict)));
    queue = take(space->queue(0));
  }
  [[nodiscard]] static SpaceOptions options(Strict strict) {
    return strict_options(strict, std::get<0>(GetParam()), std::get<1>(GetParam()));
  }
  [[nodiscard]] Kernel kernel(const char* name) const { return take(queue->kernel(name)); }
  template <typename T = float>
  [[nodiscard]] Buffer<T> buffer(std::size_t count, Kind kind = Kind::shared) const {
    return take(space->buffer<T>(count, kind));
  }
  // Runs it, and gives back the findings and what was printed.
  std::vector<Finding> run(Launch& launch) {
    testing::internal::CaptureStderr();
    const Result<Fence> fence = launch.submit(here);
    outcome = fence ? fence->wait() : tl::unexpected<Error>(fence.error());
    printed = testing::internal::GetCapturedStderr();
    return space->findings();
  }

  std::optional<Space> space;
  std::optional<Queue> queue;
  std::string printed;
  Result<void> outcome;
  const SourcePlace here = SourcePlace::current();
  const std::string site =
      std::string(here.file) + ":" + std::to_string(here.line) + ", in " + here.function;
};

INSTANTIATE_TEST_SUITE_P(Each, StrictTest,
                         testing::Combine(testing::Values(Grade::full, Grade::user, Grade::signal),
                                          testing::Bool()),
                         [](const auto& of) {
                           return std::string(to_string(std::get<0>(of.param))) +
                                  (std::get<1>(of.param) ? "_recoverable" : "");
                         });

TEST_P(StrictTest, a_launch_that_names_all_is_not_told_of) {
  const auto x = buffer(10'000);
  const auto y = buffer(10'000);
  std::iota(x.begin(), x.end(), 0.0F);
  for (int round = 0; round < 3; ++round)
    EXPECT_THAT(run(queue->launch(kernel("saxpy"))
                        .reads(x)
                        .writes(y)
                        .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                        .items(x.size())),
                SizeIs(0));
  EXPECT_TRUE(ok(outcome));
  EXPECT_EQ(printed, "");
  EXPECT_EQ(y[9999], 6 * x[9999]);
  EXPECT_EQ(space->counters().undeclared_accesses, 0U);
  EXPECT_EQ(space->status().strict, Strict::report);
  EXPECT_EQ(space->status().strict_reason, "");
}

TEST_P(StrictTest, a_range_that_is_not_named) {
  const auto x = buffer(10'000);
  const auto y = buffer(10'000);
  std::iota(x.begin(), x.end(), 0.0F);
  const auto findings = run(queue->launch(kernel("saxpy"))
                                .writes(y)
                                .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                                .items(x.size()));
  EXPECT_TRUE(ok(outcome));
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], 2 * x[i]) << i;

  ASSERT_THAT(findings, SizeIs(1));
  const Finding& finding = findings[0];
  EXPECT_EQ(finding.kind, FindingKind::not_named);
  EXPECT_EQ(finding.access, Access::read);
  EXPECT_EQ(finding.kernel, "saxpy");
  EXPECT_EQ(finding.device, 0);
  EXPECT_EQ(finding.range, x.data());
  EXPECT_EQ(finding.range_size, 40'000U);
  EXPECT_EQ(finding.address, x.data());
  EXPECT_EQ(finding.touched_begin, 0U);
  EXPECT_EQ(finding.touched_end, 40'000U);
  EXPECT_EQ(finding.pages, 10U);
  EXPECT_EQ(finding.launches, 1U);
  EXPECT_EQ(finding.named, "nothing");
  EXPECT_EQ(finding.site, site);
  EXPECT_EQ(space->counters().undeclared_accesses, 10U);
  const std::string x_at = hex(x.data());
  EXPECT_EQ(printed, "sluice: strict: kernel 'saxpy' on device 0 read byte 0 (" + x_at +
                         ") of the shared range at " + x_at +
                         ", 40000 bytes, which its launch does not name\n"
                         "sluice: strict:   launched at " +
                         site +
                         "\n"
                         "sluice: strict:   of that range the launch names nothing\n"
                         "sluice: strict:   write .reads(pointer, 40000) for all of the range, or "
                         "name the part that it "
                         "touches; a kernel that follows pointers needs what they lead to, or "
                         ".every_shared_range()\n");

  // Again: counted, not printed.
  const auto again = run(queue->launch(kernel("saxpy"))
                             .writes(y)
                             .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                             .items(x.size()));
  EXPECT_EQ(printed, "");
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again[0].pages, 20U);
  EXPECT_EQ(again[0].launches, 2U);

  testing::internal::CaptureStderr();
  queue.reset();
  space.reset();
  // The buffers keep the space open.
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_P(StrictTest, a_range_with_a_name_is_told_by_it) {
  const auto x = take(space->buffer<float>(2000, "x of the step"));
  const auto findings =
      run(queue->launch(kernel("fill")).arguments(x.data(), std::uint32_t{2}).items(x.size()));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].range_name, "x of the step");
  EXPECT_THAT(findings[0].text,
              HasSubstr("of the shared range 'x of the step' at " + hex(x.data())));
}

TEST_P(StrictTest, the_count_comes_at_the_end) {
  {
    const auto y = buffer(10'000);
    EXPECT_THAT(run(queue->launch(kernel("fill"))
                        .arguments(sluice_soft_fill{reinterpret_cast<std::uint32_t*>(y.data()), 2})
                        .items(y.size())),
                SizeIs(1));
  }
  const std::string range = hex(space->findings()[0].range);
  testing::internal::CaptureStderr();
  queue.reset();
  space.reset();
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "sluice: strict: 1 finding; every launch got the bytes that it touched\n"
            "sluice: strict: kernel 'fill' wrote 10 pages, bytes 0 to 39999, of the range at " +
                range + " in 1 launch: not named\n");
}

TEST_P(StrictTest, a_size_in_elements) {
  const auto x = buffer(10'000);
  const auto y = buffer(10'000);
  std::iota(x.begin(), x.end(), 0.0F);
  for (float& value : y.span()) value = 1;
  const auto findings = run(queue->launch(kernel("saxpy"))
                                .reads(x.data(), x.size())
                                .writes(y.data(), y.size())
                                .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                                .items(x.size()));
  EXPECT_TRUE(ok(outcome));
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], 2 * x[i] + 1) << i;
  // 10000 bytes are three pages.
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.kind, FindingKind::beyond);
    EXPECT_EQ(finding.touched_begin, 3 * page);
    EXPECT_EQ(finding.touched_end, 40'000U);
  }
  ASSERT_GE(findings.size(), 2U);
  EXPECT_EQ(findings[0].range, x.data());
  EXPECT_EQ(findings[0].named, "bytes 0 to 9999 to read");
  EXPECT_EQ(findings[0].advice,
            "write .reads(pointer, 40000): a size counts bytes, and 10000 elements of 4 bytes are "
            "40000 bytes");
  EXPECT_EQ(findings.back().range, y.data());
  EXPECT_EQ(findings.back().access, Access::write);
  EXPECT_EQ(findings.back().named, "bytes 0 to 9999 to write");
  EXPECT_THAT(findings.back().advice,
              HasSubstr("write .writes(pointer, 40000): a size counts bytes"));
}

TEST_P(StrictTest, an_overrun_within_the_last_page_cannot_be_seen) {
  const auto x = buffer<std::uint32_t>(2048);
  EXPECT_THAT(run(queue->launch(kernel("fill"))
                      .writes(x.data(), page + 4)
                      .arguments(sluice_soft_fill{x.data(), 5})
                      .items(2048)),
              SizeIs(0));
  EXPECT_THAT(x.span(), Each(5U));
}

TEST_P(StrictTest, what_is_named_for_reading_and_written) {
  const auto x = buffer(10'000);
  const auto y = buffer(10'000);
  for (float& value : x.span()) value = 3;
  for (float& value : y.span()) value = 1;
  const auto findings = run(queue->launch(kernel("saxpy"))
                                .reads(x)
                                .reads(y)
                                .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                                .items(x.size()));
  EXPECT_TRUE(ok(outcome));
  EXPECT_THAT(y.span(), Each(7.0F));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, FindingKind::named_read);
  EXPECT_EQ(findings[0].access, Access::write);
  EXPECT_EQ(findings[0].pages, 10U);
  EXPECT_EQ(findings[0].named, "bytes 0 to 39999 to read");
  EXPECT_THAT(
      printed,
      AllOf(HasSubstr("wrote byte 0 ("), HasSubstr("which its launch names for reading only\n"),
            HasSubstr("write .writes(...) instead of .reads(...) for what the kernel writes\n")));
}

TEST_P(StrictTest, a_halo) {
  constexpr std::size_t row = page;  // bytes
  const auto grid = buffer<std::uint8_t>(16 * row);
  const auto sum = buffer<std::uint64_t>(1);
  for (std::size_t i = 0; i < grid.size(); ++i) grid[i] = static_cast<std::uint8_t>(i / row);
  // Rows 4 to 7 are named, and one more on each side is read.
  const auto findings = run(queue->launch(kernel("check_sum"))
                                .reads(grid.data() + 4 * row, 4 * row)
                                .writes(sum)
                                .arguments(sluice_soft_check_sum{grid.data() + 3 * row, sum.data()})
                                .items(6 * row));
  EXPECT_TRUE(ok(outcome));
  std::uint64_t want = 0;
  for (std::size_t i = 0; i < 6 * row; ++i) want += (i + 1) * grid[3 * row + i];
  EXPECT_EQ(sum[0], want);
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].kind, FindingKind::beyond);
  EXPECT_EQ(findings[0].pages, 2U);
  EXPECT_EQ(findings[0].touched_begin, 3 * row);
  EXPECT_EQ(findings[0].touched_end, 9 * row);
  EXPECT_EQ(findings[0].advice,
            "the named part begins at least 4096 bytes too late: a halo? write .reads(pointer - "
            "4096, 20480), or name both parts");
}

TEST_P(StrictTest, a_pointer_inside_a_structure) {
  const auto nodes = buffer<sluice_soft_node>(1);
  const auto others = buffer<sluice_soft_node>(3);
  const auto count = buffer<std::uint64_t>(1);
  nodes[0] = {&others[0], 1};
  others[0] = {&others[2], 2};
  others[2] = {nullptr, 3};
  const auto findings = run(queue->launch(kernel("list_walk"))
                                .writes(nodes)
                                .writes(count)
                                .arguments(sluice_soft_list_walk{nodes.data(), 10, count.data()}));
  EXPECT_TRUE(ok(outcome));
  EXPECT_EQ(count[0], 3U);
  EXPECT_EQ(others[2].value, 13U);
  ASSERT_FALSE(findings.empty());
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.range, others.data());
    EXPECT_EQ(finding.kind, FindingKind::not_named);
    EXPECT_THAT(finding.advice,
                HasSubstr("a kernel that follows pointers needs what they lead to"));
  }
}

TEST_P(StrictTest, a_list_over_several_ranges) {
  std::vector<Buffer<sluice_soft_node>> buffers;
  for (int i = 0; i < 4; ++i) buffers.push_back(buffer<sluice_soft_node>(100));
  sluice_soft_node* next = nullptr;
  for (std::size_t i = 400; i-- > 0;) {
    buffers[i % 4][i / 4] = {next, i};
    next = &buffers[i % 4][i / 4];
  }
  const auto count = buffer<std::uint64_t>(1);
  const auto walk = [&](Launch& launch) {
    return run(launch.writes(count).arguments(sluice_soft_list_walk{next, 1000, count.data()}));
  };
  auto exempt = queue->launch(kernel("list_walk"));
  EXPECT_THAT(walk(exempt.every_shared_range()), SizeIs(0));
  EXPECT_TRUE(ok(outcome));
  auto forgetful = queue->launch(kernel("list_walk"));
  std::set<const void*> ranges;
  for (const Finding& finding : walk(forgetful.writes(buffers[0]))) ranges.insert(finding.range);
  EXPECT_TRUE(ok(outcome));
  EXPECT_EQ(ranges,
            (std::set<const void*>{buffers[1].data(), buffers[2].data(), buffers[3].data()}));
  EXPECT_EQ(count[0], 800U);
  for (std::size_t i = 0; i < 400; ++i) ASSERT_EQ(buffers[i % 4][i / 4].value, i + 2000);
}

TEST_P(StrictTest, reading_every_range_names_none_for_writing) {
  const auto from = buffer<std::uint64_t>(1);
  const auto to = buffer<std::uint64_t>(1);
  from[0] = 5;
  const sluice_soft_load arguments{from.data(), to.data(), 8};
  EXPECT_THAT(run(queue->launch(kernel("load"))
                      .every_shared_range(Access::read)
                      .writes(to)
                      .arguments(arguments)),
              SizeIs(0));
  EXPECT_TRUE(ok(outcome));
  EXPECT_EQ(to[0], 5U);
  EXPECT_THAT(
      run(queue->launch(kernel("load")).every_shared_range(Access::read).arguments(arguments)),
      ElementsAre(Field(&Finding::kind, FindingKind::named_read)));
}

TEST_P(StrictTest, host_and_device_ranges_must_be_named_too) {
  const auto host = buffer<std::uint32_t>(1000, Kind::host);
  const auto device = take(space->allocate_on_device(0, 4000));
  auto* words = reinterpret_cast<std::uint32_t*>(device.data());
  EXPECT_THAT(
      run(queue->launch(kernel("fill")).arguments(sluice_soft_fill{host.data(), 7}).items(1000)),
      ElementsAre(AllOf(Field(&Finding::range_kind, Kind::host), Field(&Finding::pages, 1U))));
  EXPECT_TRUE(ok(outcome));
  EXPECT_THAT(host.span(), Each(7U));
  EXPECT_THAT(run(queue->launch(kernel("fill")).arguments(sluice_soft_fill{words, 8}).items(1000)),
              SizeIs(2));
  EXPECT_TRUE(ok(outcome));
  EXPECT_TRUE(ok(space->copy(host.data(), words, 4000)));
  EXPECT_THAT(host.span(), Each(8U));
}

TEST_P(StrictTest, what_is_mapped_needs_no_name) {
  const auto x = buffer<std::uint32_t>(10'000);
  ASSERT_TRUE(ok(space->map({{x.data(), 40'000}}, {0, 1})));
  EXPECT_THAT(
      run(queue->launch(kernel("fill")).arguments(sluice_soft_fill{x.data(), 7}).items(10'000)),
      SizeIs(0));
  EXPECT_TRUE(ok(outcome));
  EXPECT_THAT(x.span(), Each(7U));
  ASSERT_TRUE(ok(space->unmap({{x.data(), 40'000}}, {0, 1})));
  EXPECT_THAT(
      run(queue->launch(kernel("fill")).arguments(sluice_soft_fill{x.data(), 8}).items(10'000)),
      SizeIs(1));
  EXPECT_TRUE(ok(outcome));
  EXPECT_THAT(x.span(), Each(8U));
}

TEST_P(StrictTest, more_than_the_memory_of_the_device) {
  // Two blocks that an instruction needs at once may take each other's place there; that is not
  // strict mode's doing.
  if (std::get<1>(GetParam()))
    GTEST_SKIP() << "on devices with recoverable faults blocks leave while kernels use them";
  SpaceOptions small = options(Strict::report);
  small.device_budget = std::size_t{4} << 20;
  queue.reset();
  space = take(Space::open(small));
  queue = take(space->queue(0));
  const auto named = buffer<std::uint32_t>((std::size_t{4} << 20) / 4);
  const auto x = buffer<std::uint32_t>((std::size_t{3} << 20) / 4);
  std::iota(x.begin(), x.end(), 0U);
  const auto findings = run(queue->launch(kernel("copy"))
                                .writes(named)
                                .arguments(sluice_soft_copy{named.data(), x.data()})
                                .items(x.size() * 4));
  EXPECT_TRUE(ok(outcome));
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].pages, 768U);
  for (std::size_t i = 0; i < x.size(); i += 100) ASSERT_EQ(named[i], i);
}

// Bytes that another device wrote last, and that this launch forgot to name.
TEST_P(StrictTest, what_another_device_holds) {
  const auto x = buffer<std::uint32_t>(10'000);
  const auto y = buffer<std::uint32_t>(10'000);
  const Queue other = take(space->queue(1));
  const Fence written = take(other.launch(take(other.kernel("fill")))
                                 .writes(x)
                                 .arguments(sluice_soft_fill{x.data(), 9})
                                 .items(x.size())
                                 .submit());
  EXPECT_THAT(run(queue->launch(kernel("copy"))
                      .writes(y)
                      .after(written)
                      .arguments(sluice_soft_copy{y.data(), x.data()})
                      .items(40'000)),
              SizeIs(1));
  EXPECT_TRUE(ok(outcome));
  EXPECT_THAT(y.span(), Each(9U));
}

TEST_P(StrictTest, two_devices_that_touch_what_the_other_one_writes_do_not_hang) {
  const auto x = buffer<std::uint32_t>(10'000);
  const auto y = buffer<std::uint32_t>(10'000);
  const Queue other = take(space->queue(1));
  testing::internal::CaptureStderr();
  for (int round = 0; round < 5; ++round) {
    // Each names what it writes, and reads what the other one writes.
    const Fence a = take(queue->launch(kernel("copy"))
                             .writes(x)
                             .arguments(sluice_soft_copy{x.data(), y.data()})
                             .items(40'000)
                             .submit());
    const Fence b = take(other.launch(take(other.kernel("copy")))
                             .writes(y)
                             .arguments(sluice_soft_copy{y.data(), x.data()})
                             .items(40'000)
                             .submit());
    const Result<void> first = a.wait();
    const Result<void> second = b.wait();
    if (!first || !second) break;
  }
  testing::internal::GetCapturedStderr();
}

// The next launch reads what the host stored meanwhile, however the page came to the device before.
TEST_P(StrictTest, what_a_finding_brought_is_coherent_afterwards) {
  const auto x = buffer<std::uint32_t>(4096);
  const auto y = buffer<std::uint32_t>(4096);
  for (std::uint32_t round = 0; round < 10; ++round) {
    std::iota(x.begin(), x.end(), round);
    (void)run(queue->launch(kernel("copy"))
                  .writes(y)
                  .arguments(sluice_soft_copy{y.data(), x.data()})
                  .items(4096 * 4));
    EXPECT_TRUE(ok(outcome));
    for (std::uint32_t i = 0; i < 4096; ++i) ASSERT_EQ(y[i], round + i);
    (void)run(
        queue->launch(kernel("fill")).arguments(sluice_soft_fill{x.data(), round}).items(2048));
    for (std::uint32_t i = 0; i < 2048; ++i) ASSERT_EQ(x[i], round);
    for (std::uint32_t i = 2048; i < 4096; ++i) ASSERT_EQ(x[i], round + i);
  }
  EXPECT_EQ(space->findings().size(), 2U);
}

TEST_P(StrictTest, a_host_access_waits_for_a_kernel_that_writes_what_it_did_not_name) {
  const auto x = buffer<std::uint32_t>(1024);
  const Result<Fence> fence = queue->launch(kernel("fill"))
                                  .arguments(sluice_soft_fill{x.data(), 7})
                                  .items(x.size())
                                  .submit();
  while (space->findings().empty()) ::usleep(100);
  // The finding is noted before the page is there; until then the launch has no claim on it.
  const auto is_there = [&] {
    return take(space->residency(x.data())).writers.contains(Location::device(0));
  };
  while (!is_there() && !fence->done()) ::usleep(100);
  // On a device with recoverable faults the page may be taken from a kernel that runs.
  if (!std::get<1>(GetParam())) {
    EXPECT_EQ(x[1023], 7U);
  }
  EXPECT_TRUE(ok(take(fence).wait()));
  EXPECT_THAT(x.span(), Each(7U));
}

TEST_P(StrictTest, stop_ends_the_kernel) {
  open(Strict::stop);
  const auto x = buffer(10'000);
  const auto y = buffer(10'000);
  const auto findings = run(queue->launch(kernel("saxpy"))
                                .reads(x.data(), 10'000)
                                .writes(y)
                                .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                                .items(x.size()));
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code(), ErrorCode::device_fault);
  const std::string want =
      "device 0, queue 0: kernel 'saxpy' read " + hex(x.data() + 3072) +
      ", byte 12288 of the range at " + hex(x.data()) +
      "; its launch names bytes 0 to 9999 to read: add .reads of it; the queue has stopped";
  EXPECT_EQ(outcome.error().detail(), want);
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_EQ(findings[0].pages, 1U);
  EXPECT_THAT(printed, HasSubstr("strict: kernel 'saxpy' on device 0 read byte 12288"));
  queue.reset();
  queue = take(space->queue(0));
  for (float& value : x.span()) value = 3;
  for (float& value : y.span()) value = 0;
  (void)run(queue->launch(kernel("saxpy"))
                .reads(x)
                .writes(y)
                .arguments(sluice_soft_saxpy{y.data(), x.data(), 2})
                .items(x.size()));
  EXPECT_TRUE(ok(outcome));
  EXPECT_THAT(y.span(), Each(6.0F));
}

TEST_P(StrictTest, queries_and_events) {
  const auto x = buffer<std::uint32_t>(2048);
  ASSERT_TRUE(ok(space->trace().start()));
  (void)run(queue->launch(kernel("fill")).arguments(sluice_soft_fill{x.data(), 7}).items(2048));
  std::size_t events = 0;
  for (const Event& event : space->trace().events()) {
    if (event.kind != EventKind::undeclared_access) continue;
    EXPECT_EQ(event.address, reinterpret_cast<std::uint64_t>(x.data()) + events * page);
    EXPECT_EQ(event.size, page);
    EXPECT_EQ(event.from, Location::device(0));
    ++events;
  }
  EXPECT_EQ(events, 2U);
  EXPECT_STREQ(Trace::name(EventKind::undeclared_access), "UndeclaredAccess");
}

// Many parts need several slots of the ring.
TEST_P(StrictTest, a_launch_with_many_parts) {
  const auto x = buffer<std::uint32_t>(1024 * 300);
  auto launch = queue->launch(kernel("mix"));
  for (std::size_t i = 0; i < 300; ++i)
    if (i != 150) launch.writes(x.data() + 1024 * i, 4);
  launch.arguments(sluice_soft_mix{reinterpret_cast<std::uint8_t*>(x.data()), page, 5, 4})
      .items(300);
  const auto findings = run(launch);
  EXPECT_TRUE(ok(outcome));
  for (std::size_t i = 0; i < 300; ++i)
    ASSERT_EQ(x[1024 * i], static_cast<std::uint32_t>(sluice_soft_mixed(0, 5, i))) << i;
  ASSERT_FALSE(findings.empty());
  for (const Finding& finding : findings) {
    EXPECT_EQ(finding.touched_begin, 150 * page);
    EXPECT_EQ(finding.touched_end, 151 * page);
    EXPECT_THAT(finding.named, HasSubstr(" and 291 more parts"));
  }
}

// --- a model of what must be told of -------------------------------------------------------------

struct Known {
  std::uint64_t pages = 0, launches = 0;
  std::size_t begin = SIZE_MAX, end = 0;
  friend bool operator==(const Known&, const Known&) = default;
};
using Key = std::tuple<std::size_t, FindingKind, Access>;

struct Part {
  std::size_t range = 0, begin = 0, size = 0;
  Access access = Access::read;
};

// Pages of one range that a launch touches, against what it names; written down for each page by
// itself.
void expect(std::map<Key, Known>& model, const std::vector<Part>& named, const Part& touched) {
  std::set<Key> of_this_launch;
  for (std::size_t at = touched.begin / page; at <= (touched.begin + touched.size - 1) / page;
       ++at) {
    bool some = false, reads = false, writes = false;
    for (const Part& part : named) {
      if (part.range != touched.range) continue;
      some = true;
      if (at < part.begin / page || at > (part.begin + part.size - 1) / page) continue;
      (part.access == Access::write ? writes : reads) = true;
    }
    if (writes || (reads && touched.access == Access::read)) continue;
    const Key key{touched.range,
                  reads  ? FindingKind::named_read
                  : some ? FindingKind::beyond
                         : FindingKind::not_named,
                  touched.access};
    Known& known = model[key];
    ++known.pages;
    known.begin = std::min(known.begin, at * page);
    known.end = std::max(known.end, (at + 1) * page);
    if (of_this_launch.insert(key).second) ++known.launches;
  }
}

void random_launches(bool recoverable) {
  constexpr std::size_t ranges = 3;
  constexpr std::size_t size = 12 * page;
  const Space space = take(Space::open(strict_options(Strict::report, Grade::full, recoverable)));
  const Queue queues[] = {take(space.queue(0)), take(space.queue(1))};
  std::vector<Buffer<std::uint8_t>> buffers;
  std::vector<std::vector<std::uint8_t>> bytes;
  for (std::size_t i = 0; i < ranges; ++i) {
    buffers.push_back(take(space.buffer<std::uint8_t>(size)));
    bytes.emplace_back(size);
  }
  std::map<Key, Known> model;
  const auto part = [&](std::size_t range, Access access) {
    const auto begin = *rc::gen::inRange<std::size_t>(0, size - 1);
    return Part{range, begin, *rc::gen::inRange<std::size_t>(1, size - begin + 1), access};
  };
  testing::internal::CaptureStderr();
  for (int launch = 0; launch < 8; ++launch) {
    const auto seed = *rc::gen::arbitrary<std::uint8_t>();
    const auto target = *rc::gen::inRange<std::size_t>(0, ranges);
    const auto begin = *rc::gen::inRange<std::size_t>(0, size - 1);
    buffers[target][begin] = bytes[target][begin] = seed;  // the host takes a page
    const auto from = *rc::gen::inRange<std::size_t>(0, ranges);
    const auto to = (from + *rc::gen::inRange<std::size_t>(1, ranges)) % ranges;
    Part read = part(from, Access::read);
    Part written = part(to, Access::write);
    read.size = written.size = std::min(read.size, written.size);
    const Queue& queue = queues[*rc::gen::inRange(0, 2)];
    auto copy = queue.launch(take(queue.kernel("copy")));
    std::vector<Part> named;
    const auto count = *rc::gen::inRange(0, 5);
    for (int i = 0; i < count; ++i) {
      const auto range = *rc::gen::inRange<std::size_t>(0, ranges);
      named.push_back(part(range, *rc::gen::arbitrary<bool>() ? Access::write : Access::read));
      auto* at = buffers[range].data() + named.back().begin;
      if (named.back().access == Access::write)
        copy.writes(at, named.back().size);
      else
        copy.reads(at, named.back().size);
    }
    copy.arguments(
            sluice_soft_copy{buffers[to].data() + written.begin, buffers[from].data() + read.begin})
        .items(read.size);
    const Result<void> done = take(copy.submit()).wait();
    RC_ASSERT(done.has_value());
    std::copy_n(bytes[from].begin() + static_cast<std::ptrdiff_t>(read.begin), read.size,
                bytes[to].begin() + static_cast<std::ptrdiff_t>(written.begin));
    expect(model, named, read);
    expect(model, named, written);
  }
  testing::internal::GetCapturedStderr();
  std::map<Key, Known> found;
  for (const Finding& finding : space.findings()) {
    std::size_t range = 0;
    while (finding.range != buffers[range].data()) ++range;
    found[{range, finding.kind, finding.access}] = {finding.pages, finding.launches,
                                                    finding.touched_begin, finding.touched_end};
  }
  RC_ASSERT(found == model);
  for (std::size_t i = 0; i < ranges; ++i)
    RC_ASSERT(std::equal(bytes[i].begin(), bytes[i].end(), buffers[i].begin()));
}

RC_GTEST_PROP(StrictProperty, just_what_is_not_named_is_told_of, ()) {
  random_launches(*rc::gen::arbitrary<bool>());
}

// --- opening, the environment, C -----------------------------------------------------------------

class StrictEnvironment : public testing::Test {
 protected:
  void SetUp() override {
    const char* const before = std::getenv("SLUICE_STRICT");
    if (before != nullptr) before_ = before;
  }
  void TearDown() override {
    if (before_)
      setenv("SLUICE_STRICT", before_->c_str(), 1);
    else
      unsetenv("SLUICE_STRICT");
  }
  static Strict in_force(const char* environment, Strict option) {
    if (environment == nullptr)
      unsetenv("SLUICE_STRICT");
    else
      setenv("SLUICE_STRICT", environment, 1);
    SpaceOptions options = with_devices(1);
    options.strict = option;
    return take(Space::open(options)).status().strict;
  }

 private:
  std::optional<std::string> before_;
};

TEST_F(StrictEnvironment, decides_where_the_program_does_not) {
  EXPECT_EQ(in_force(nullptr, Strict::automatic), Strict::off);
  EXPECT_EQ(in_force("", Strict::automatic), Strict::off);
  EXPECT_EQ(in_force("0", Strict::automatic), Strict::off);
  EXPECT_EQ(in_force("1", Strict::automatic), Strict::report);
  EXPECT_EQ(in_force("report", Strict::automatic), Strict::report);
  EXPECT_EQ(in_force("stop", Strict::automatic), Strict::stop);
  EXPECT_EQ(in_force("stop", Strict::off), Strict::off);
  EXPECT_EQ(in_force("0", Strict::stop), Strict::stop);
}

TEST_F(StrictEnvironment, nonsense_is_refused_by_name) {
  setenv("SLUICE_STRICT", "yes please", 1);
  EXPECT_THAT(Space::open(with_devices(1)),
              refuses(ErrorCode::invalid_argument,
                      "SLUICE_STRICT is 'yes please'; it may be 0, 1, report or stop"));
}

TEST(StrictInC, findings_are_structures) {
  struct sluice_space_options options{};
  options.size = sizeof options;
  options.device_memory = std::size_t{32} << 20;
  options.strict = SLUICE_STRICT_REPORT;
  sluice_space* space = nullptr;
  ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK);
  struct sluice_space_status status{};
  status.size = sizeof status;
  ASSERT_EQ(sluice_space_get_status(space, &status), SLUICE_OK);
  EXPECT_EQ(status.strict, SLUICE_STRICT_REPORT);
  EXPECT_STREQ(status.strict_reason, "");
  void* memory = nullptr;
  ASSERT_EQ(sluice_allocate(space, 8192, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &memory),
            SLUICE_OK);
  sluice_queue* queue = nullptr;
  ASSERT_EQ(sluice_queue_create(space, 0, &queue), SLUICE_OK);
  struct sluice_launch launch{};
  launch.size = sizeof launch;
  ASSERT_EQ(sluice_kernel_find(space, 0, nullptr, "fill", &launch.kernel), SLUICE_OK);
  const sluice_soft_fill arguments{static_cast<std::uint32_t*>(memory), 7};
  const struct sluice_use use{memory, 4096, SLUICE_ACCESS_WRITE};
  launch.arguments = &arguments;
  launch.argument_size = sizeof arguments;
  launch.items = 2048;
  launch.uses = &use;
  launch.use_count = 1;
  struct sluice_fence fence{};
  testing::internal::CaptureStderr();
  ASSERT_EQ(sluice_launch_submit(queue, &launch, &fence), SLUICE_OK);
  EXPECT_EQ(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  testing::internal::GetCapturedStderr();
  ASSERT_EQ(sluice_finding_count(space), 1U);
  struct sluice_finding finding{};
  finding.size = sizeof finding;
  ASSERT_EQ(sluice_finding_get(space, 0, &finding), SLUICE_OK);
  EXPECT_EQ(finding.kind, SLUICE_FINDING_BEYOND);
  EXPECT_EQ(finding.access, SLUICE_ACCESS_WRITE);
  EXPECT_STREQ(finding.kernel, "fill");
  EXPECT_EQ(finding.range, memory);
  EXPECT_EQ(finding.offset, 4096U);
  EXPECT_EQ(finding.pages, 1U);
  char text[2048];
  EXPECT_LT(sluice_finding_text(space, 0, text, sizeof text), sizeof text);
  EXPECT_THAT(text, AllOf(HasSubstr("kernel 'fill' on device 0 wrote byte 4096"),
                          HasSubstr("launched at "), HasSubstr("api_test+0x"),
                          HasSubstr("the launch names bytes 0 to 4095 to write")));
  EXPECT_EQ(sluice_finding_get(space, 1, &finding), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_STREQ(sluice_last_error(), "finding 1: there are 1");
  EXPECT_EQ(sluice_finding_text(space, 1, text, sizeof text), 0U);
  struct sluice_counters counters{};
  counters.size = sizeof counters;
  ASSERT_EQ(sluice_space_get_counters(space, &counters), SLUICE_OK);
  EXPECT_EQ(counters.undeclared_accesses, 1U);
  sluice_queue_destroy(queue);
  EXPECT_EQ(sluice_free(space, memory), SLUICE_OK);
  testing::internal::CaptureStderr();
  sluice_space_close(space);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("strict: 1 finding"));
}

// Without strict mode: a kernel that dies says the same.
TEST(NotStrict, a_fatal_access_says_what_is_missing) {
  SpaceOptions options = with_devices(1);
  options.strict = Strict::off;
  const Space space = take(Space::open(options));
  const auto x = take(space.buffer<std::uint32_t>(10'000));
  const auto big = take(space.buffer<std::uint32_t>(std::size_t{1} << 20));
  const Queue queue = take(space.queue(0));
  testing::internal::CaptureStderr();
  const Result<void> unnamed = take(queue.launch(take(queue.kernel("fill")))
                                        .arguments(sluice_soft_fill{x.data(), 7})
                                        .items(10)
                                        .submit())
                                   .wait();
  EXPECT_THAT(
      unnamed,
      refuses(ErrorCode::device_fault,
              "device 0, queue 0: kernel 'fill' wrote " + hex(x.data()) +
                  ", byte 0 of the range at " + hex(x.data()) +
                  "; its launch names nothing of that: add .writes of it; the queue has stopped"));
  const Queue second = take(space.queue(0));
  const Result<void> beyond = take(second.launch(take(queue.kernel("fill")))
                                       .writes(big.data(), 4096)
                                       .arguments(sluice_soft_fill{big.data(), 7})
                                       .items(big.size())
                                       .submit())
                                  .wait();
  EXPECT_THAT(beyond,
              refuses(ErrorCode::device_fault,
                      "byte 2097152 of the range at " + hex(big.data()) +
                          "; its launch names bytes 0 to 4095 to write: add .writes of it"));
  testing::internal::GetCapturedStderr();
  EXPECT_TRUE(space.findings().empty());
}

}  // namespace
}  // namespace sluice::api_test
