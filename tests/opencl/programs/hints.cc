// Hints that move: after a migration to the device a launch moves nothing, after one to the host
// reading moves nothing. A line "phase ..." tells hints_support.py when that must be so; the trace
// knows. Where host and device share memory nothing ever moves, and only the rest is looked at.
// Ends with 0 and "hints: PASS".
#include <time.h>

#include <algorithm>
#include <cstdint>

#include "usm.hpp"

namespace {

constexpr std::size_t count = std::size_t{4} << 20;
constexpr std::size_t bytes = count * 4;

int failures = 0;
void expect(bool truth, const char* what) {
  if (truth) return;
  ++failures;
  std::fprintf(stderr, "%s\n", what);
}

cl_int status_of(cl_event event) {
  cl_int status = CL_QUEUED;
  MUST(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, nullptr));
  return status;
}

// A time in which bytes of the data move between memories, or must not.
class Phase {
 public:
  Phase(const char* name, bool moves, const void* data)
      : name_(name), moves_(moves), data_(data), began_(now()) {}
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;
  ~Phase() {
    std::printf("phase %s %s %lld %lld %llu %zu\n", name_, moves_ ? "moves" : "still", began_,
                now(), static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(data_)),
                bytes);
  }

 private:
  // The clock of the trace, in nanoseconds.
  static long long now() {
    timespec time = {};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
  }
  const char* const name_;
  const bool moves_;
  const void* const data_;
  const long long began_;
};

class Subject {
 public:
  Subject()
      : add_(world_.kernel("kernel void add_one(global uint* p) { p[get_global_id(0)] += 1; }",
                           "add_one")),
        peek_(world_.kernel(
            "kernel void peek(global const uint* p, global uint* out) { *out = p[0]; }", "peek")),
        data_(world_.shared<std::uint32_t>(count)) {
    MUST(world_.set_pointer(add_, 0, data_));
    std::fill_n(data_, count, 0U);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  ~Subject() {
    MUST(world_.free(world_.context, data_));
    clReleaseKernel(add_);
    clReleaseKernel(peek_);
  }

  void migrations_are_right() {
    for (int round = 0; round < 3; ++round) {
      for (const cl_mem_migration_flags to :
           {cl_mem_migration_flags{0}, cl_mem_migration_flags{CL_MIGRATE_MEM_OBJECT_HOST}}) {
        cl_event moved = nullptr;
        MUST(world_.migrate(world_.queue, data_, bytes, to, 0, nullptr, &moved));
        launch(moved);
        MUST(clReleaseEvent(moved));
      }
    }
    MUST(clFinish(world_.queue));
    expect(is_all(truth_), "bytes after migrations");
  }

  // A migration waits for what its list names, and its event for the migration.
  void events_order() {
    cl_int status = CL_SUCCESS;
    const cl_event user = clCreateUserEvent(world_.context, &status);
    MUST(status);
    cl_event moved = nullptr;
    MUST(world_.migrate(world_.queue, data_, bytes, CL_MIGRATE_MEM_OBJECT_HOST, 1, &user, &moved));
    expect(status_of(moved) > CL_COMPLETE, "a migration that waits is not complete");
    MUST(clSetUserEventStatus(user, CL_COMPLETE));
    MUST(clWaitForEvents(1, &moved));
    expect(status_of(moved) == CL_COMPLETE, "a migration that was waited for is complete");
    MUST(clReleaseEvent(moved));
    MUST(clReleaseEvent(user));
  }

  // The same through core SVM.
  void svm_migration() {
    const void* pointers[] = {data_};
    cl_event moved = nullptr;
    MUST(clEnqueueSVMMigrateMem(world_.queue, 1, pointers, nullptr, 0, 0, nullptr, &moved));
    cl_command_type type = 0;
    MUST(clGetEventInfo(moved, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, nullptr));
    expect(type == CL_COMMAND_SVM_MIGRATE_MEM, "type of clEnqueueSVMMigrateMem");
    launch(moved);
    MUST(clFinish(world_.queue));
    MUST(clReleaseEvent(moved));
    expect(is_all(truth_), "bytes after clEnqueueSVMMigrateMem");
  }

  void prefetch_moves() {
    for (const bool ahead : {false, true}) {
      take_to_host();
      if (ahead) prefetch(0);
      const Phase phase(ahead ? "launch_after_a_prefetch" : "launch", !ahead, data_);
      launch(nullptr);
      MUST(clFinish(world_.queue));
    }
  }
  void prefetch_to_host_moves() {
    for (const bool ahead : {false, true}) {
      launch(nullptr);
      MUST(clFinish(world_.queue));
      if (ahead) prefetch(CL_MIGRATE_MEM_OBJECT_HOST);
      const Phase phase(ahead ? "reading_after_a_prefetch" : "reading", !ahead, data_);
      expect(sum_pages() == truth_ * (count / 1024), "sum");
    }
  }

  // Advised as mostly read, what is migrated to the host stays valid on the device: a kernel that
  // only reads finds it there.
  void advice_counts() {
    if (!knows_const()) return;
    auto* const out = world_.shared<std::uint32_t>(1);
    MUST(world_.set_pointer(peek_, 0, data_));
    MUST(world_.set_pointer(peek_, 1, out));
    for (const bool advised : {false, true}) {
      const cl_mem_advice_intel advice = advised ? 0x4208 : 0x4209;
      MUST(world_.advise(world_.queue, data_, bytes, advice, 0, nullptr, nullptr));
      launch(nullptr);
      MUST(clFinish(world_.queue));
      prefetch(CL_MIGRATE_MEM_OBJECT_HOST);
      {
        const Phase phase(advised ? "reader_of_mostly_read_memory" : "reader", !advised, data_);
        world_.run(peek_, 1);
        MUST(clFinish(world_.queue));
      }
      expect(*out == truth_, "what a reading kernel saw");
    }
    MUST(world_.free(world_.context, out));
  }
  [[nodiscard]] bool shares_at_once() const { return world_.shares_at_once(); }

  [[nodiscard]] static int verdict() {
    std::printf("hints: %s\n", failures == 0 ? "PASS" : "FAIL");
    return failures == 0 ? 0 : 1;
  }

 private:
  bool knows_const() const {
    cl_kernel_arg_type_qualifier qualifier = 0;
    const cl_int status = clGetKernelArgInfo(peek_, 0, CL_KERNEL_ARG_TYPE_QUALIFIER,
                                             sizeof(qualifier), &qualifier, nullptr);
    return status == CL_SUCCESS && (qualifier & CL_KERNEL_ARG_TYPE_CONST) != 0;
  }
  bool is_all(std::uint32_t value) const {
    return std::count(data_, data_ + count, value) == static_cast<std::ptrdiff_t>(count);
  }
  std::uint64_t sum_pages() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < count; i += 1024)
      sum += *static_cast<volatile std::uint32_t*>(data_ + i);
    return sum;
  }
  // The host writes each page, so that the device has none.
  void take_to_host() {
    for (std::size_t i = 0; i < count; i += 1024) {
      volatile std::uint32_t& word = data_[i];
      word = word;
    }
  }
  void prefetch(cl_mem_migration_flags to) {
    cl_event moved = nullptr;
    MUST(world_.migrate(world_.queue, data_, bytes, to, 0, nullptr, &moved));
    MUST(clWaitForEvents(1, &moved));
    MUST(clReleaseEvent(moved));
  }
  void launch(cl_event after) {
    const std::size_t items = count;
    MUST(clEnqueueNDRangeKernel(world_.queue, add_, 1, nullptr, &items, nullptr,
                                after == nullptr ? 0 : 1, after == nullptr ? nullptr : &after,
                                nullptr));
    ++truth_;
  }

  const usm::World world_;
  cl_kernel add_;
  cl_kernel peek_;
  std::uint32_t* data_;
  std::uint32_t truth_ = 0;
};

}  // namespace

int main() {
  Subject subject;
  subject.migrations_are_right();
  subject.events_order();
  subject.svm_migration();
  if (subject.shares_at_once()) {
    std::printf("host and device have their memory shared at once\n");
  } else {
    subject.prefetch_moves();
    subject.prefetch_to_host_moves();
    subject.advice_counts();
  }
  return Subject::verdict();
}
