// Hints, data, leases and queries.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "api_support.hpp"

namespace sluice::api_test {
namespace {

using testing::Each;
using testing::HasSubstr;
using testing::Not;

class DataTest : public ApiTest {
 protected:
  LocationSet holders(const void* address) const { return take(space.residency(address)).holders; }

  const Buffer<std::uint32_t> buffer = words(8192);  // eight pages
  const std::size_t size = buffer.range().size();
};

// --- hints --------------------------------------------------------------------------------------

TEST_F(DataTest, prefetch_moves_to_any_location) {
  std::fill(buffer.begin(), buffer.end(), 6U);
  for (const Location to : {Location::device(1), Location::device(0), Location::host()}) {
    EXPECT_TRUE(ok(take(space.prefetch(buffer, to)).wait()));
    EXPECT_EQ(holders(buffer.data()), LocationSet(to));
  }
  EXPECT_THAT(buffer.span(), Each(6U));
}

TEST_F(DataTest, prefetch_refuses_only_what_makes_no_sense) {
  EXPECT_THAT(space.prefetch(buffer, Location::device(2)), refuses(ErrorCode::unknown_device, "2"));
  for (const int number :
       {64, 128, 200, 255, 256, 1 << 20})  // none of them is the host, or device 0
    EXPECT_THAT(space.prefetch(buffer, Location::device(number)),
                refuses(ErrorCode::unknown_device, "there is no device"));
  EXPECT_THAT(space.prefetch(buffer, Location::device(-1)),
              refuses(ErrorCode::unknown_device, "there is no device"));
  EXPECT_THAT(space.prefetch(buffer.data(), 0, Location::host()),
              refuses(ErrorCode::invalid_argument, hex(buffer.data())));
  EXPECT_THAT(space.prefetch(buffer.data(), SIZE_MAX, Location::host()),
              refuses(ErrorCode::invalid_argument, std::to_string(SIZE_MAX)));
  EXPECT_THAT(space.prefetch(this, 8, Location::host()),
              refuses(ErrorCode::unknown_address, hex(this)));
  const auto larger_than_a_device = words(std::size_t{12} << 20);
  EXPECT_TRUE(ok(take(space.prefetch(larger_than_a_device, Location::device(0))).wait()));
  const auto host = words(10, Kind::host);
  EXPECT_TRUE(ok(take(space.prefetch(host, Location::device(0))).wait()));
}

TEST_F(DataTest, advice_is_kept_for_each_page) {
  std::uint32_t* const second_page = buffer.data() + 1024;
  EXPECT_TRUE(ok(space.advise(second_page, 4096, AdviceKind::prefer, Location::device(1))));
  EXPECT_TRUE(ok(space.advise(buffer.data(), size, AdviceKind::accessed_by, Location::device(0))));
  EXPECT_TRUE(ok(space.advise(buffer.data(), size, AdviceKind::read_mostly)));
  const Attributes first = take(space.attributes(buffer.data()));
  const Attributes second = take(space.attributes(second_page + 7));
  EXPECT_EQ(first.preferred, std::nullopt);
  EXPECT_EQ(second.preferred, Location::device(1));
  EXPECT_TRUE(first.read_mostly && second.read_mostly);
  EXPECT_TRUE(first.accessed_by.contains(Location::device(0)));

  EXPECT_TRUE(ok(space.advise(buffer.data(), size, AdviceKind::no_preference)));
  EXPECT_TRUE(
      ok(space.advise(buffer.data(), size, AdviceKind::not_accessed_by, Location::device(0))));
  EXPECT_TRUE(ok(space.advise(buffer.data(), size, AdviceKind::not_read_mostly)));
  EXPECT_EQ(take(space.attributes(second_page)), Attributes());
}

TEST_F(DataTest, advice_that_makes_no_sense_is_refused) {
  const auto advise = [this](AdviceKind kind, Location location) {
    return space.advise(buffer.data(), size, kind, location);
  };
  EXPECT_THAT(advise(AdviceKind::prefer, Location::device(9)),
              refuses(ErrorCode::unknown_device, "9"));
  EXPECT_THAT(advise(AdviceKind::accessed_by, Location::host()),
              refuses(ErrorCode::invalid_argument, "device"));
  EXPECT_THAT(space.advise(buffer.data(), size + (1 << 20), AdviceKind::read_mostly),
              refuses(ErrorCode::unknown_address, hex(buffer.data())));
  EXPECT_THAT(space.attributes(this), refuses(ErrorCode::unknown_address, hex(this)));
}

// --- data ---------------------------------------------------------------------------------------

TEST_F(DataTest, discard_gives_up_whole_pages_inside) {
  std::fill(buffer.begin(), buffer.end(), 1U);
  EXPECT_TRUE(ok(fill(queue, buffer, 2).wait()));
  EXPECT_TRUE(ok(space.discard(buffer.data() + 1, 3 * 4096)));
  EXPECT_EQ(buffer[1023], 2U);
  EXPECT_THAT(std::span(buffer.data() + 1024, 2048), Each(0U));
  EXPECT_EQ(buffer[3072], 2U);
  EXPECT_THAT(space.discard(buffer.data(), 0),
              refuses(ErrorCode::invalid_argument, hex(buffer.data())));
  EXPECT_THAT(space.discard(&queue, 8), refuses(ErrorCode::unknown_address, hex(&queue)));
  const auto host = words(10, Kind::host);
  EXPECT_THAT(space.discard(host.data(), 40), refuses(ErrorCode::unsupported, hex(host.data())));
}

TEST_F(DataTest, copy_knows_every_pair_of_memories) {
  std::vector<std::uint32_t> plain(8192);
  std::iota(plain.begin(), plain.end(), 1U);
  const auto host = words(8192, Kind::host);
  const Range on_device = take(space.allocate_on_device(1, size));
  const Range on_other = take(space.allocate_on_device(0, size));

  EXPECT_TRUE(ok(space.copy(on_device.data(), plain.data(), size)));
  EXPECT_TRUE(ok(space.copy(on_other.data(), on_device.data(), size)));
  EXPECT_TRUE(ok(space.copy(buffer.data(), on_other.data(), size)));
  EXPECT_TRUE(ok(take(space.prefetch(buffer, Location::device(1))).wait()));
  EXPECT_TRUE(ok(space.copy(host.data(), buffer.data(), size)));
  std::vector<std::uint32_t> back(8192);
  EXPECT_TRUE(ok(space.copy(back.data(), host.data(), size)));
  EXPECT_EQ(back, plain);

  // Any alignment, any size.
  EXPECT_TRUE(ok(space.copy(on_device.data() + 4097, plain.data(), 5)));
  std::vector<std::byte> five(5);
  EXPECT_TRUE(ok(space.copy(five.data(), on_device.data() + 4097, 5)));
  EXPECT_EQ(std::memcmp(five.data(), plain.data(), 5), 0);
  EXPECT_TRUE(ok(space.copy(buffer.data(), plain.data(), 0)));
}

TEST_F(DataTest, copy_refuses_what_lies_outside_a_range) {
  std::vector<std::byte> plain(std::size_t{4} << 20);
  const std::size_t too_much = std::size_t{3} << 20;
  EXPECT_THAT(space.copy(buffer.data(), plain.data(), too_much),
              refuses(ErrorCode::unknown_address, hex(buffer.data())));
  EXPECT_THAT(space.copy(plain.data(), buffer.data(), too_much),
              refuses(ErrorCode::unknown_address, hex(buffer.data())));
  EXPECT_THAT(space.copy(buffer.data(), plain.data(), SIZE_MAX),
              refuses(ErrorCode::invalid_argument, std::to_string(SIZE_MAX)));
  std::byte* const gone = take(space.allocate(4096)).release();
  EXPECT_TRUE(ok(space.free(gone)));
  EXPECT_THAT(space.copy(gone, plain.data(), 8), refuses(ErrorCode::unknown_address, hex(gone)));
}

TEST_F(DataTest, a_lease_keeps_bytes_in_place) {
  std::fill(buffer.begin(), buffer.end(), 3U);
  Lease lease = take(space.lease(buffer.data(), size, Location::device(0), Access::write));
  EXPECT_TRUE(lease);
  EXPECT_EQ(holders(buffer.data()), LocationSet(Location::device(0)));
  EXPECT_TRUE(ok(take(space.prefetch(buffer, Location::host())).wait()));  // a hint: left undone
  EXPECT_EQ(holders(buffer.data()), LocationSet(Location::device(0)));
  EXPECT_THAT(space.lease(buffer.data(), size, Location::host(), Access::read),
              refuses(ErrorCode::busy, hex(buffer.data())));
  EXPECT_THAT(space.discard(buffer.data(), size), refuses(ErrorCode::busy, hex(buffer.data())));
  const Queue other = take(space.queue(1));
  EXPECT_THAT(other.launch(take(other.kernel("nothing"))).writes(buffer).submit(),
              refuses(ErrorCode::busy, hex(buffer.data())));

  Lease moved = std::move(lease);
  EXPECT_FALSE(lease);  // NOLINT(bugprone-use-after-move): what is left is part of the contract
  EXPECT_TRUE(moved);
  moved = Lease();
  EXPECT_TRUE(ok(take(space.prefetch(buffer, Location::host())).wait()));
  EXPECT_EQ(holders(buffer.data()), LocationSet(Location::host()));
  lease.end();
}

TEST_F(DataTest, leases_that_make_no_sense_are_refused) {
  const auto lease = [this](const void* data, std::size_t bytes, Location at) {
    return space.lease(data, bytes, at, Access::read);
  };
  EXPECT_THAT(lease(buffer.data(), size, Location::device(2)),
              refuses(ErrorCode::unknown_device, "2"));
  EXPECT_THAT(lease(buffer.data(), 0, Location::host()),
              refuses(ErrorCode::invalid_argument, hex(buffer.data())));
  EXPECT_THAT(lease(this, 4, Location::host()), refuses(ErrorCode::unknown_address, hex(this)));
  const auto host = words(10, Kind::host);
  EXPECT_THAT(lease(host.data(), 40, Location::device(0)),
              refuses(ErrorCode::unsupported, hex(host.data())));
  EXPECT_TRUE(lease(host.data(), 40, Location::host()));
  const auto too_large = words(std::size_t{12} << 20);
  EXPECT_THAT(lease(too_large.data(), too_large.range().size(), Location::device(0)),
              refuses(ErrorCode::out_of_device_memory, "device 0"));
  EXPECT_EQ(space.check(), std::nullopt);
}

// --- queries ------------------------------------------------------------------------------------

TEST_F(DataTest, residency_follows_the_data) {
  EXPECT_TRUE(holders(buffer.data()).empty());
  EXPECT_EQ(take(space.residency(buffer.data(), size)).untouched, 8U);
  EXPECT_TRUE(ok(fill(queue, buffer, 1).wait()));
  const ResidencySummary on_device = take(space.residency(buffer.data(), size));
  EXPECT_EQ(on_device.pages, 8U);
  EXPECT_EQ(on_device.device[0], 8U);
  EXPECT_EQ(on_device.host, 0U);
  EXPECT_EQ(on_device.untouched, 0U);
  EXPECT_EQ(on_device.lost, 0U);
  EXPECT_EQ(take(space.residency(buffer.data())).writers, LocationSet(Location::device(0)));
  EXPECT_EQ(buffer[0], 1U);
  EXPECT_TRUE(holders(buffer.data()).has_host());

  EXPECT_THAT(space.residency(this), refuses(ErrorCode::unknown_address, hex(this)));
  EXPECT_THAT(space.residency(buffer.data(), 0),
              refuses(ErrorCode::invalid_argument, hex(buffer.data())));
  EXPECT_THAT(space.residency(buffer.data(), std::size_t{4} << 20),
              refuses(ErrorCode::unknown_address, hex(buffer.data())));
  EXPECT_THAT(space.range_of(nullptr), refuses(ErrorCode::unknown_address, "0"));
}

TEST_F(DataTest, explain_speaks_of_any_address) {
  EXPECT_TRUE(ok(fill(queue, buffer, 1).wait()));
  EXPECT_TRUE(ok(space.advise(buffer.data(), size, AdviceKind::prefer, Location::device(1))));
  const std::string text = space.explain(buffer.data() + 1);
  EXPECT_THAT(text, HasSubstr(hex(buffer.data() + 1)));
  EXPECT_THAT(text, HasSubstr("device 0"));
  EXPECT_THAT(text, HasSubstr("preferred at device 1"));
  EXPECT_THAT(space.explain(this), HasSubstr("not managed"));
  EXPECT_THAT(space.explain(nullptr), HasSubstr("not managed"));
}

TEST_F(DataTest, names_of_ranges_are_told_beside_their_addresses) {
  const auto named = take(space.buffer<std::uint32_t>(3000, "temperature"));
  const auto in_host = take(space.allocate(4096, Kind::host, HostPages::small, "halo"));
  const Range on_device = take(space.allocate_on_device(1, 4096, "weights of layer 1"));
  EXPECT_EQ(take(space.range_of(&named[7])).name, "temperature");
  EXPECT_EQ(take(space.range_of(in_host.data())).name, "halo");
  EXPECT_EQ(take(space.range_of(on_device.data())).name, "weights of layer 1");
  EXPECT_EQ(take(space.range_of(buffer.data())).name, "");
  EXPECT_THAT(space.explain(&named[7]),
              HasSubstr("byte 28 of the shared range 'temperature' at " + hex(named.data())));
  EXPECT_THAT(space.explain(buffer.data()), HasSubstr("of the shared range at "));

  const auto past = refuses(ErrorCode::unknown_address,
                            "leaves its range 'temperature' " + hex(named.data()) + " + 12000");
  EXPECT_THAT(space.residency(named.data(), 1 << 20), past);
  std::vector<std::uint32_t> copy(4000);
  EXPECT_THAT(space.copy(copy.data(), named.data(), 12'001), past);
  EXPECT_THAT(space.residency(named.data() + (4 << 20)),
              refuses(ErrorCode::unknown_address, "the nearest is '"));

  const std::string longest(63, 'n');
  EXPECT_EQ(take(space.range_of(take(space.allocate(1, longest)).data())).name, longest);
  EXPECT_THAT(space.allocate(1, longest + "n"),
              refuses(ErrorCode::invalid_argument, "a name of 64 bytes"));
  for (const char* const not_plain : {"\n", "\x1b[2J", "\x7f", "\xc2\x85", "\xff", "\xe2\x80\xae"})
    EXPECT_THAT(space.allocate(1, not_plain + longest),  // and too long
                refuses(ErrorCode::invalid_argument, "names are UTF-8 without control characters"));
  EXPECT_THAT(space.allocate(1, "ab\u202Ecd"), refuses(ErrorCode::invalid_argument, "0xE2 at 2;"));
  EXPECT_EQ(take(space.range_of(take(space.allocate(1, "\xc3\x85ngstr\xc3\xb6m")).data())).name,
            "\xc3\x85ngstr\xc3\xb6m");
  // A name may lie in managed memory that a device holds.
  const auto text = take(space.buffer<char>(5));
  std::copy_n("field", 5, text.data());
  EXPECT_TRUE(ok(take(space.prefetch(text, Location::device(1))).wait()));
  const auto field = take(space.allocate(1, std::string_view(text.data(), 5)));
  EXPECT_EQ(take(space.range_of(field.data())).name, "field");
}

TEST_F(DataTest, status_tells_what_is_in_force) {
  const SpaceStatus status = space.status();
  EXPECT_EQ(status.grade == Grade::full, status.grade_reason.empty()) << status.grade_reason;
  EXPECT_EQ(status.ranges, 1U);
  EXPECT_EQ(status.bytes, size);
  EXPECT_GT(status.address_space, size);
  EXPECT_NE(status.host_pages, HostPages::automatic);
}

TEST_F(DataTest, devices_describe_themselves) {
  const DeviceInfo info = take(space.device(1));
  EXPECT_EQ(info.number, 1);
  EXPECT_THAT(info.name, Not(testing::IsEmpty()));
  EXPECT_EQ(info.memory_size, std::size_t{32} << 20);
  EXPECT_EQ(info.budget, info.memory_size);
  EXPECT_GE(info.copy_engines, 2);
  EXPECT_FALSE(info.recoverable_faults);
  EXPECT_FALSE(info.lost);
  EXPECT_TRUE(ok(take(space.prefetch(buffer, Location::device(1))).wait()));
  EXPECT_GT(take(space.device(1)).in_use, info.in_use);
  for (const int number : {-1, 2, 64}) {
    EXPECT_THAT(space.device(number), refuses(ErrorCode::unknown_device, std::to_string(number)));
    EXPECT_THAT(space.reset_device(number),
                refuses(ErrorCode::unknown_device, std::to_string(number)));
    EXPECT_THAT(space.plan_faults(number, ""),
                refuses(ErrorCode::unknown_device, std::to_string(number)));
  }
  EXPECT_THAT(space.plan_faults(0, "make it so"), refuses(ErrorCode::invalid_argument, "make"));
}

TEST_F(DataTest, a_lost_device_fails_what_only_it_had_and_comes_back) {
  const auto untouched = words(1024);
  untouched[0] = 4;
  EXPECT_TRUE(ok(fill(queue, buffer, 1).wait()));
  const Fence fence = take(queue.launch(take(queue.kernel("crash"))).submit());
  EXPECT_THAT(fence.wait(), refuses(ErrorCode::device_lost, "device 0"));
  EXPECT_TRUE(take(space.device(0)).lost);
  EXPECT_THAT(queue.launch(take(space.kernel(1, "", "nothing"))).submit(),
              refuses(ErrorCode::invalid_argument, "device 1"));

  EXPECT_TRUE(ok(space.reset_device(0)));  // waits until everything the device had is given up
  EXPECT_THAT(space.reset_device(0), refuses(ErrorCode::invalid_argument, "device 0"));
  EXPECT_TRUE(take(space.residency(buffer.data())).lost);
  EXPECT_EQ(untouched[0], 4U);
  std::vector<std::uint32_t> plain(8192);
  EXPECT_THAT(space.copy(plain.data(), buffer.data(), size),
              refuses(ErrorCode::data_lost, hex(buffer.data())));
  EXPECT_TRUE(ok(space.discard(buffer.data(), size)));
  EXPECT_TRUE(ok(fill(queue, buffer, 2).wait()));
  EXPECT_THAT(buffer.span(), Each(2U));
  EXPECT_EQ(space.counters().devices_lost, 1U);
}

}  // namespace
}  // namespace sluice::api_test
