// Work of the program's own on an OpenclDevice, over a driver that is made up here: its events are
// complete when the test says so. And what no OpenclDevice has.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>
#include <vector>

#include "device/conformance_external.hpp"
#include "device/opencl/opencl_device.hpp"
#include "device/placed_memory.hpp"
#include "device/soft/soft_device.hpp"
#include "os/failing_calls.hpp"

namespace sluice::device::testing {
namespace {

using opencl::OpenclDevice;

// An event of the driver.
struct MadeUpEvent {
  std::atomic<bool> complete{false};
  std::atomic<int> references{1};
};
std::set<MadeUpEvent*> events;  // live ones; the tests have one thread

MadeUpEvent* of(cl_event event) { return reinterpret_cast<MadeUpEvent*>(event); }

cl_int CL_API_CALL retain(cl_event event) {
  ++of(event)->references;
  return CL_SUCCESS;
}
cl_int CL_API_CALL release(cl_event event) {
  if (--of(event)->references == 0) {
    events.erase(of(event));
    delete of(event);
  }
  return CL_SUCCESS;
}
cl_int CL_API_CALL event_info(cl_event event, cl_event_info /*what*/, std::size_t size, void* value,
                              std::size_t* /*written*/) {
  const cl_int status = of(event)->complete ? CL_COMPLETE : CL_RUNNING;
  std::memcpy(value, &status, std::min(size, sizeof status));
  return CL_SUCCESS;
}
cl_int CL_API_CALL wait_for_events(cl_uint /*count*/, const cl_event* event) {
  return of(*event)->complete ? CL_SUCCESS : CL_INVALID_EVENT;
}
cl_int CL_API_CALL device_info(cl_device_id /*device*/, cl_device_info /*what*/, std::size_t size,
                               void* value, std::size_t* /*written*/) {
  std::strncpy(static_cast<char*>(value), "made up", size);
  return CL_SUCCESS;
}
cl_command_queue CL_API_CALL create_queue(cl_context /*context*/, cl_device_id /*device*/,
                                          cl_command_queue_properties /*properties*/,
                                          cl_int* status) {
  static int queue = 0;
  *status = CL_SUCCESS;
  return reinterpret_cast<cl_command_queue>(&queue);
}
cl_int CL_API_CALL queue_call(cl_command_queue /*queue*/) { return CL_SUCCESS; }

const opencl::Driver& made_up_driver() {
  static const cl_icd_dispatch calls = [] {
    cl_icd_dispatch table{};
    table.clRetainEvent = retain;
    table.clReleaseEvent = release;
    table.clGetEventInfo = event_info;
    table.clWaitForEvents = wait_for_events;
    table.clGetDeviceInfo = device_info;
    table.clCreateCommandQueue = create_queue;
    table.clReleaseCommandQueue = queue_call;
    table.clFinish = queue_call;
    table.clFlush = queue_call;
    return table;
  }();
  static const opencl::Driver driver{&calls};
  return driver;
}

// No test here moves bytes.
class NoBytes final : public opencl::DeviceBytes {
 public:
  bool have_host_side() const noexcept override { return true; }
  cl_int write(cl_command_queue /*queue*/, Address /*to*/, const std::byte* /*from*/,
               std::size_t /*size*/, cl_event* /*event*/) override {
    return CL_INVALID_OPERATION;
  }
  cl_int read(cl_command_queue /*queue*/, std::byte* /*to*/, Address /*from*/, std::size_t /*size*/,
              cl_event* /*event*/) override {
    return CL_INVALID_OPERATION;
  }
  cl_int fill(cl_command_queue /*queue*/, Address /*to*/, std::span<const std::byte> /*pattern*/,
              std::size_t /*size*/, std::span<const cl_event> /*wait_for*/,
              cl_event* /*event*/) override {
    return CL_INVALID_OPERATION;
  }
  std::size_t contiguous_from(Address /*address*/) const override { return 0; }
};

ExternalProgram opencl_program() {
  static NoBytes bytes;
  ExternalProgram program;
  program.backend.name = "Opencl";
  program.backend.open = [](int number, const HostMemory& host, EventSink& /*sink*/) {
    return OpenclDevice::open(made_up_driver(), number, host, 4 * block_size, bytes, false,
                              patience);
  };
  program.queue = OpenclDevice::queue_by_number(3);
  program.submit = [](Rig& /*rig*/) {
    auto* const event = new MadeUpEvent;
    events.insert(event);
    return ExternalMark{reinterpret_cast<std::uintptr_t>(event)};
  };
  program.finish = [] {
    for (MadeUpEvent* event : events) event->complete = true;
  };
  return program;
}
INSTANTIATE_TEST_SUITE_P(Opencl, ExternalConformance, ::testing::Values(opencl_program()),
                         name_of_program);

TEST(OpenclAbilities, memory_has_its_place_by_address_and_kernels_are_the_program_s) {
  Rig rig(opencl_program().backend);
  const Allocation allocation = GET(rig->placed_memory()->allocate_at(rig.host.at(0), block_size));
  EXPECT_EQ(rig->memory_in_use(), block_size);
  EXPECT_EQ(code_of(rig->placed_memory()->allocate_at(rig.host.at(0), 4 * block_size)),
            ErrorCode::out_of_device_memory);
  rig->release(allocation);
  EXPECT_EQ(rig->memory_in_use(), 0U);
  EXPECT_EQ(code_of(rig->allocate(block_size)), ErrorCode::unsupported);
  EXPECT_EQ(code_of(rig->create_queue()), ErrorCode::unsupported);
  EXPECT_EQ(code_of(rig->launch({}, {})), ErrorCode::unsupported);
  EXPECT_EQ(rig->stoppable_queues(), nullptr);
  EXPECT_EQ(rig->host_overflow(), nullptr);
  EXPECT_EQ(rig->recoverable_faults(), nullptr);
  EXPECT_EQ(soft::software_calls(rig.device()), nullptr);
}

TEST(OpenclAbilities, many_commands_may_be_pending_at_once) {
  const ExternalProgram program = opencl_program();
  Rig rig(program.backend);
  ExternalWork& work = *rig->external_work();
  std::vector<Fence> fences;
  for (int i = 0; i < 5000; ++i) {
    fences.push_back(GET(work.begin(program.queue, {})));
    GET(work.submitted(fences.back(), program.submit(rig)));
  }
  EXPECT_EQ(rig->poll(fences.front()), FenceState::pending);
  program.finish();
  for (const Fence fence : fences) EXPECT_EQ(rig->poll(fence), FenceState::complete);
  EXPECT_TRUE(events.empty());
}

TEST(OpenclAbilities, work_is_refused_where_linux_has_no_memory_for_its_record) {
  const ExternalProgram program = opencl_program();
  Rig rig(program.backend);
  ExternalWork& work = *rig->external_work();
  os::FailingCalls calls;
  calls.fail(&os::Calls::mmap, 1, ENOMEM);
  EXPECT_EQ(code_of(work.begin(program.queue, {})), ErrorCode::out_of_host_memory);
  const Fence fence = GET(work.begin(program.queue, {}));
  work.nothing_submitted(fence);
  EXPECT_EQ(rig->poll(fence), FenceState::complete);
}

TEST(OpenclAbilities, events_are_released_with_their_work) {
  const ExternalProgram program = opencl_program();
  {
    Rig rig(program.backend);
    ExternalWork& work = *rig->external_work();
    for (int i = 0; i < 3; ++i) {
      const Fence fence = GET(work.begin(program.queue, {}));
      GET(work.submitted(fence, program.submit(rig)));
    }
    EXPECT_EQ(events.size(), 3U);
  }
  EXPECT_TRUE(events.empty());
}

}  // namespace
}  // namespace sluice::device::testing
