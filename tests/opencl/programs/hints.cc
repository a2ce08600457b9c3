// Hints that move: after a migration to the device a launch has nothing to copy, after one to the
// host reading waits for nothing. Where host and device share memory nothing moves, and only the
// rest is looked at. Ends with 0 and "hints: PASS".
#include <algorithm>
#include <chrono>
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

  // With its bytes there, the launch itself has next to nothing to do; without, it copies 16 MiB
  // before it returns. Medians of seven, and the wide limit of a half, since machines that test are
  // busy.
  void prefetch_moves() {
    if (world_.shares_at_once()) return;
    std::vector<double> with;
    std::vector<double> without;
    for (int round = 0; round < 7; ++round) {
      for (const bool ahead : {false, true}) {
        take_to_host();
        if (ahead) prefetch(0);
        const auto began = std::chrono::steady_clock::now();
        launch(nullptr);
        (ahead ? with : without).push_back(seconds_since(began));
        MUST(clFinish(world_.queue));
      }
    }
    report("enqueueing after a prefetch", median(with), median(without));
  }
  void prefetch_to_host_moves() {
    if (world_.shares_at_once()) return;
    std::vector<double> with;
    std::vector<double> without;
    for (int round = 0; round < 7; ++round) {
      for (const bool ahead : {false, true}) {
        launch(nullptr);
        MUST(clFinish(world_.queue));
        if (ahead) prefetch(CL_MIGRATE_MEM_OBJECT_HOST);
        const auto began = std::chrono::steady_clock::now();
        expect(sum_pages() == truth_ * (count / 1024), "sum");
        (ahead ? with : without).push_back(seconds_since(began));
      }
    }
    // The host's rights still come as it reads, which on a fast link takes longer than the bytes.
    report("reading after a prefetch", median(with), median(without), 1.2);
  }

  // Advised as mostly read, what is migrated to the host stays valid on the device: a kernel that
  // only reads finds it there.
  void advice_counts() {
    if (world_.shares_at_once() || !knows_const()) return;
    auto* const out = world_.shared<std::uint32_t>(1);
    MUST(world_.set_pointer(peek_, 0, data_));
    MUST(world_.set_pointer(peek_, 1, out));
    std::vector<double> with;
    std::vector<double> without;
    for (int round = 0; round < 7; ++round) {
      for (const bool advised : {false, true}) {
        const cl_mem_advice_intel advice = advised ? 0x4208 : 0x4209;
        MUST(world_.advise(world_.queue, data_, bytes, advice, 0, nullptr, nullptr));
        launch(nullptr);
        MUST(clFinish(world_.queue));
        prefetch(CL_MIGRATE_MEM_OBJECT_HOST);
        const auto began = std::chrono::steady_clock::now();
        world_.run(peek_, 1);
        (advised ? with : without).push_back(seconds_since(began));
        MUST(clFinish(world_.queue));
        expect(*out == truth_, "what a reading kernel saw");
      }
    }
    MUST(world_.free(world_.context, out));
    report("enqueueing a reader of mostly read memory", median(with), median(without));
  }

  [[nodiscard]] static int verdict() {
    std::printf("hints: %s\n", failures == 0 ? "PASS" : "FAIL");
    return failures == 0 ? 0 : 1;
  }

 private:
  static double seconds_since(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  static double median(std::vector<double> samples) {
    std::nth_element(samples.begin(), samples.begin() + 3, samples.end());
    return samples[3];
  }
  static void report(const char* what, double with, double without, double ratio = 2) {
    std::printf("%s: %.0f us instead of %.0f us\n", what, with * 1e6, without * 1e6);
    expect(with * ratio < without, what);
  }
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
  subject.prefetch_moves();
  subject.prefetch_to_host_moves();
  subject.advice_counts();
  return Subject::verdict();
}
