// The software GPU's VM faults: only the guilty queue stops; with recoverable faults the engine
// answers; mappings never run out.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <set>

#include "device/latch.hpp"
#include "device/recoverable_faults.hpp"
#include "device/soft_rig.hpp"

namespace sluice::device::testing {
namespace {

using Kind = RecordingSink::Event::Kind;

TEST(SoftFault, stops_the_guilty_queue_only) {
  Rig rig(soft_backend());
  const QueueId guilty = GET(rig->create_queue());
  const QueueId innocent = GET(rig->create_queue());
  Latch latch(rig);
  const Fence running = GET(rig.launch(innocent, rig.kernel("spin"), latch.arguments()));

  const Address bad = rig.host.at(10 * block_size + 64);
  const auto outcome = rig.outcome(
      rig.launch(guilty, rig.kernel("fill"), sluice_soft_fill{pointer<std::uint32_t>(bad), 1}));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_fault);
  const std::string text = detail_of(outcome);
  char address[32];
  std::snprintf(address, sizeof address, "%#zx", static_cast<std::size_t>(bad.value));
  for (const char* part :
       {"device 0", "queue 0", "'fill'", "wrote", static_cast<const char*>(address)}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  }
  const auto event = rig.sink.await(Kind::fatal_fault);
  EXPECT_EQ(event.address, bad);
  EXPECT_EQ(event.access, Access::write);

  // The stopped queue refuses, the other goes on.
  EXPECT_EQ(code_of(rig->launch(guilty, {rig.kernel("nothing"), {}, 1, {}})),
            ErrorCode::device_fault);
  EXPECT_EQ(rig->poll(running), FenceState::pending);
  latch.open();
  rig.finish(running);
  EXPECT_FALSE(rig->lost());
  EXPECT_EQ(rig.sink.count(Kind::fatal_fault), 1U);
}

TEST(SoftFault, launches_behind_the_fault_fail_too) {
  Rig rig(soft_backend());
  const QueueId queue = GET(rig->create_queue());
  Latch latch(rig);
  const Fence before = GET(rig.launch(queue, rig.kernel("spin"), latch.arguments()));
  const Fence faults = GET(rig.launch(queue, rig.kernel("fill"), sluice_soft_fill{nullptr, 1}));
  const Fence behind = GET(rig->launch(queue, {rig.kernel("nothing"), {}, 1, {}}));
  latch.open();
  EXPECT_TRUE(rig->wait(before, patiently()));
  EXPECT_EQ(code_of(rig->wait(faults, patiently())), ErrorCode::device_fault);
  EXPECT_EQ(code_of(rig->wait(behind, patiently())), ErrorCode::device_fault);
  EXPECT_EQ(rig->poll(before), FenceState::complete);
  EXPECT_EQ(rig->poll(faults), FenceState::failed);
  EXPECT_EQ(rig->poll(behind), FenceState::failed);
}

TEST(SoftFault, destroying_the_queue_makes_it_usable) {
  Rig rig(soft_backend());
  const KernelId nothing = rig.kernel("nothing");
  const KernelId fill = rig.kernel("fill");
  for (int round = 0; round < 40; ++round) {  // more often than there are queues
    const QueueId queue = GET(rig->create_queue());
    EXPECT_TRUE(rig.outcome(rig->launch(queue, {nothing, {}, 1, {}})));
    EXPECT_EQ(code_of(rig.outcome(rig.launch(queue, fill, sluice_soft_fill{nullptr, 1}))),
              ErrorCode::device_fault);
    rig->destroy_queue(queue);
  }
}

TEST(SoftFault, reads_and_writes_are_told_apart) {
  Rig rig(soft_backend());
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::read));
  const QueueId reader = GET(rig->create_queue());
  rig.finish(rig.map(block_size, block_size, rig.on_host(block_size), Rights::write));
  const sluice_soft_load load{pointer<void>(rig.host.at(0)),
                              pointer<std::uint64_t>(rig.host.at(block_size)), 8};
  rig.finish(rig.launch(reader, rig.kernel("load"), load));
  const sluice_soft_store store{pointer<void>(rig.host.at(0)), 1, 1};
  const auto written = rig.outcome(rig.launch(reader, rig.kernel("store"), store));
  EXPECT_EQ(code_of(written), ErrorCode::device_fault);
  EXPECT_NE(detail_of(written).find("wrote"), std::string::npos);
  const QueueId other = GET(rig->create_queue());
  const sluice_soft_load stray{pointer<void>(rig.host.at(3 * block_size)), nullptr, 8};
  EXPECT_NE(detail_of(rig.outcome(rig.launch(other, rig.kernel("load"), stray))).find("read"),
            std::string::npos);
}

TEST(SoftFault, a_pointer_outside_the_window_is_fatal_too) {
  for (const bool recoverable : {false, true}) {
    Rig rig(recoverable ? recoverable_backend() : soft_backend());
    for (const std::uintptr_t wild :
         {std::uintptr_t{8}, rig.host.memory().window.end().value, ~std::uintptr_t{0} - 100}) {
      const QueueId queue = GET(rig->create_queue());
      const auto outcome = rig.outcome(rig.launch(
          queue, rig.kernel("store"), sluice_soft_store{pointer<void>(Address{wild}), 1, 8}));
      EXPECT_EQ(code_of(outcome), ErrorCode::device_fault) << wild;
    }
    EXPECT_EQ(rig.sink.count(Kind::access_fault), 0U);
  }
}

TEST(SoftFault, dependents_of_a_fault_fail) {
  Rig rig(soft_backend());
  Latch latch(rig);
  const QueueId first = GET(rig->create_queue());
  const QueueId second = GET(rig->create_queue());
  const Fence spins = GET(rig.launch(first, rig.kernel("spin"), latch.arguments()));
  const Fence faults = GET(rig.launch(first, rig.kernel("fill"), sluice_soft_fill{nullptr, 1}));
  const Fence waits = GET(rig->launch(second, {rig.kernel("nothing"), {}, 1, {&faults, 1}}));
  latch.open();
  EXPECT_FALSE(rig->wait(waits, patiently()));
  EXPECT_TRUE(rig->wait(spins, patiently()));
  // Known beforehand, it is refused at once; and the waiting queue itself has not stopped.
  EXPECT_EQ(code_of(rig->launch(second, {rig.kernel("nothing"), {}, 1, {&faults, 1}})),
            ErrorCode::device_fault);
  EXPECT_TRUE(rig.outcome(rig->launch(second, {rig.kernel("nothing"), {}, 1, {}})));
}

TEST(SoftRecoverableFaults, pages_come_on_demand) {
  Rig rig(recoverable_backend());
  const Allocation allocation = GET(rig->allocate(block_size));
  const std::size_t granule = rig->traits().mapping_granule;
  std::atomic<int> asked = 0;
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    ++asked;
    const std::size_t offset = round_down(event.address - rig.host.at(0), granule);
    rig.finish(rig.map(offset, granule, rig.on_device(allocation, offset),
                       event.access == Access::write ? Rights::write : Rights::read));
    rig->recoverable_faults()->answer_fault(event.fault, true);
  });
  const QueueId queue = GET(rig->create_queue());
  const sluice_soft_fill arguments{pointer<std::uint32_t>(rig.host.at(0)), 77};
  rig.finish(rig.launch(queue, rig.kernel("fill"), arguments, block_size / 4));
  EXPECT_EQ(asked, static_cast<int>(block_size / granule));
  rig.finish(rig.copy(rig.on_device(allocation), rig.on_host(0), block_size));
  EXPECT_EQ(rig.host.alias<std::uint32_t>(0)[block_size / 4 - 1], 77U);
}

TEST(SoftRecoverableFaults, read_rights_are_raised_by_a_write) {
  Rig rig(recoverable_backend());
  rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::read));
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    EXPECT_EQ(event.access, Access::write);
    rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
    rig->recoverable_faults()->answer_fault(event.fault, true);
  });
  const QueueId queue = GET(rig->create_queue());
  const sluice_soft_mix arguments{pointer<std::uint8_t>(rig.host.at(0)), 64, 3, 8};
  *rig.host.alias<std::uint64_t>(0) = 5;
  rig.finish(rig.launch(queue, rig.kernel("mix"), arguments, 1));
  EXPECT_EQ(*rig.host.alias<std::uint64_t>(0), sluice_soft_mixed(5, 3, 0));
}

TEST(SoftRecoverableFaults, a_refused_access_is_fatal) {
  Rig rig(recoverable_backend());
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    rig->recoverable_faults()->answer_fault(event.fault, false);
  });
  const QueueId queue = GET(rig->create_queue());
  const auto outcome = rig.outcome(rig.launch(
      queue, rig.kernel("fill"), sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(0)), 1}));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_fault);
  EXPECT_EQ(rig.sink.await(Kind::fatal_fault).address, rig.host.at(0));
}

TEST(SoftRecoverableFaults, an_answer_without_a_repair_asks_again) {
  Rig rig(recoverable_backend());
  std::atomic<int> asked = 0;
  std::mutex mutex;
  std::set<std::uint32_t> ids;
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    const std::lock_guard lock(mutex);
    EXPECT_TRUE(ids.insert(event.fault).second) << "two faults with one name";
    if (++asked == 5) rig.finish(rig.map(0, block_size, rig.on_host(0), Rights::write));
    rig->recoverable_faults()->answer_fault(event.fault, true);
    rig->recoverable_faults()->answer_fault(event.fault, false);  // a second answer means nothing
  });
  const QueueId queue = GET(rig->create_queue());
  rig.finish(rig.launch(queue, rig.kernel("fill"),
                        sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(0)), 1}));
  EXPECT_EQ(asked, 5);
}

// One access that spans two granules: the first answer does not get it done, the second does.
TEST(SoftRecoverableFaults, an_answer_tells_whether_the_access_has_retired) {
  Rig rig(recoverable_backend());
  const std::size_t granule = rig->traits().mapping_granule;
  std::mutex mutex;
  std::vector<bool> retired;
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    const std::size_t offset = round_down(event.address - rig.host.at(0), granule);
    rig.finish(rig.map(offset, granule, rig.on_host(offset), Rights::write));
    const bool done = rig->recoverable_faults()->answer_and_await(
        event.fault, Clock::now() + std::chrono::seconds(60));
    const std::lock_guard lock(mutex);
    retired.push_back(done);
  });
  const QueueId queue = GET(rig->create_queue());
  const sluice_soft_store arguments{pointer<std::uint8_t>(rig.host.at(granule - 4)),
                                    0x1122334455667788, 8};
  rig.finish(rig.launch(queue, rig.kernel("store"), arguments));
  EXPECT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return retired.size() >= 2;
  }));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(retired, (std::vector<bool>{false, true}));
  EXPECT_EQ(*rig.host.alias<std::uint32_t>(granule), 0x11223344U);
}

TEST(SoftRecoverableFaults, an_access_that_dies_has_not_retired) {
  Rig rig(recoverable_backend());
  const std::size_t granule = rig->traits().mapping_granule;
  std::atomic<int> asked = 0;
  std::atomic<int> retired = 0;
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    if (++asked == 2) return rig->recoverable_faults()->answer_fault(event.fault, false);
    rig.finish(rig.map(0, granule, rig.on_host(0), Rights::write));
    if (rig->recoverable_faults()->answer_and_await(event.fault,
                                                    Clock::now() + std::chrono::seconds(60)))
      ++retired;
  });
  const QueueId queue = GET(rig->create_queue());
  const auto outcome = rig.outcome(
      rig.launch(queue, rig.kernel("store"),
                 sluice_soft_store{pointer<std::uint8_t>(rig.host.at(granule - 4)), 1, 8}));
  EXPECT_EQ(code_of(outcome), ErrorCode::device_fault);
  EXPECT_EQ(retired, 0);
}

TEST(SoftRecoverableFaults, queues_fault_independently) {
  Rig rig(recoverable_backend());
  // Queue A's fault stays unanswered until queue B, which faults later, is through.
  std::mutex mutex;
  std::optional<std::uint32_t> held;
  rig.sink.on_access_fault([&](const RecordingSink::Event& event) {
    const std::size_t offset = round_down(event.address - rig.host.at(0), block_size);
    rig.finish(rig.map(offset, block_size, rig.on_host(offset), Rights::write));
    const std::lock_guard lock(mutex);
    if (offset == 0)
      held = event.fault;
    else
      rig->recoverable_faults()->answer_fault(event.fault, true);
  });
  const QueueId a = GET(rig->create_queue());
  const QueueId b = GET(rig->create_queue());
  const KernelId fill = rig.kernel("fill");
  const Fence first =
      GET(rig.launch(a, fill, sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(0)), 1}));
  ASSERT_TRUE(eventually([&] {
    const std::lock_guard lock(mutex);
    return held.has_value();
  }));
  rig.finish(
      rig.launch(b, fill, sluice_soft_fill{pointer<std::uint32_t>(rig.host.at(block_size)), 1}));
  EXPECT_EQ(rig->poll(first), FenceState::pending);
  rig->recoverable_faults()->answer_fault(*held, true);
  rig.finish(first);
}

TEST(SoftMappings, reach_the_second_file_of_the_host) {
  HostArea host;
  RecordingSink sink;
  HostMemory memory = host.memory();
  const int second = memfd_create("second", MFD_CLOEXEC);
  ASSERT_EQ(ftruncate(second, static_cast<off_t>(memory.window.size)), 0);
  memory.file_at = [&](Address address) {
    return address >= host.at(block_size) ? second : host.memory().file;
  };
  const auto device = GET(soft_backend().open(0, memory, sink));
  const auto finish = [&](Result<Fence> fence) {
    GET(device->wait(GET(std::move(fence)), patiently()));
  };

  // By a kernel first, then by a copy, each being the first to need the file in one of two rounds.
  for (int round = 0; round < 2; ++round) {
    const std::uint32_t value = 100 + static_cast<std::uint32_t>(round);
    const CopyCommand copy{Place::host(host.at(block_size)), Place::host(host.at(0)), page_size};
    if (round == 1) {
      GET(device->reset());
      finish(device->copy({&copy, 1}));
    }
    const MappingCommand map{host.at(block_size), block_size, Place::host(host.at(block_size)),
                             Rights::write};
    finish(device->update_mappings({&map, 1}));
    const QueueId queue = GET(device->create_queue());
    const sluice_soft_fill arguments{pointer<std::uint32_t>(host.at(block_size)), value};
    finish(
        device->launch(queue, {GET(device->find_kernel("", "fill")), bytes_of(arguments), 4, {}}));
    std::uint32_t stored = 0;
    EXPECT_EQ(pread(second, &stored, 4, block_size), 4);
    EXPECT_EQ(stored, value);
    finish(device->copy({&copy, 1}));
    EXPECT_EQ(*host.alias<std::uint32_t>(0), value);
  }
  close(second);
}

TEST(SoftMappings, outlive_the_limit_of_linux) {
  Rig rig(soft_backend());
  // Every other granule of 8 GiB: twice as many mappings as vm.max_map_count allows by default.
  const std::size_t granule = rig->traits().mapping_granule;
  const Allocation allocation = GET(rig->allocate(granule));
  const std::size_t count = rig.host.memory().window.size / granule / 2;
  std::vector<MappingCommand> commands;
  for (std::size_t i = 0; i < count; ++i) {
    commands.push_back(
        {rig.host.at(2 * i * granule), granule, rig.on_device(allocation), Rights::write});
  }
  rig.finish(rig->update_mappings(commands));

  const QueueId queue = GET(rig->create_queue());
  const KernelId store = rig.kernel("store");
  for (const std::size_t i : {std::size_t{0}, count / 2, count - 1}) {
    rig.finish(rig.launch(
        queue, store,
        sluice_soft_store{pointer<void>(rig.host.at(2 * i * granule + i % 64 * 8)), i, 8}));
    EXPECT_EQ(*reinterpret_cast<std::uint64_t*>(
                  soft::client_view(rig.device(), rig.on_device(allocation, i % 64 * 8))),
              i);
  }
  // Unmapping the middle of a mapping needs more mappings, and works at the limit.
  rig.finish(rig.map(0, 4 * block_size, rig.on_host(0), Rights::none));
  for (auto& command : commands) command.rights = Rights::none;
  rig.finish(rig->update_mappings(commands));
  EXPECT_EQ(code_of(rig.outcome(rig.launch(
                queue, store, sluice_soft_store{pointer<void>(rig.host.at(2 * granule)), 1, 8}))),
            ErrorCode::device_fault);
}

}  // namespace
}  // namespace sluice::device::testing
