// Managed memory as the host pointer of calls that know nothing of it: buffers are read and
// written, made from it, filled with a pattern in it, and kernels get arguments by value from it,
// each time with the bytes on the device first. A driver that touched the program's view itself
// would wait for a copy that waits for the driver. All that once more in a thread that is to be
// cancelled, which is due after the calls and not during one. Ends with 0 and "host pointers:
// PASS".
#include <pthread.h>

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "usm.hpp"

namespace {

constexpr std::size_t count = 100000;
constexpr std::size_t bytes = count * sizeof(int);

int failures = 0;
void expect(bool truth, const char* what) {
  if (truth) return;
  ++failures;
  std::fprintf(stderr, "%s\n", what);
}

class Subject {
 public:
  Subject()
      : twice_(world_.kernel("kernel void twice(global int* p) { p[get_global_id(0)] *= 2; }",
                             "twice")),
        set_(world_.kernel(
            "kernel void set(global int* p, int4 v) { p[get_global_id(0)] = v.x + v.w; }", "set")) {
    cl_int status = CL_SUCCESS;
    buffer_ = clCreateBuffer(world_.context, CL_MEM_READ_WRITE, bytes, nullptr, &status);
    MUST(status);
    data_ = world_.shared<int>(count);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  ~Subject() {
    MUST(clReleaseMemObject(buffer_));
    MUST(world_.free(world_.context, data_));
    clReleaseKernel(twice_);
    clReleaseKernel(set_);
  }

  // 2, 4, 6, ... and all of it on the device, where a kernel has just written it.
  void to_device() {
    MUST(clFinish(world_.queue));
    std::iota(data_, data_ + count, 1);
    MUST(world_.set_pointer(twice_, 0, data_));
    world_.run(twice_, count);
    if (world_.shares_at_once()) MUST(clFinish(world_.queue));
  }

  void write_and_read() {
    to_device();
    MUST(clEnqueueWriteBuffer(world_.queue, buffer_, CL_FALSE, 0, bytes, data_, 0, nullptr,
                              nullptr));
    std::vector<int> back(count);
    MUST(clEnqueueReadBuffer(world_.queue, buffer_, CL_TRUE, 0, bytes, back.data(), 0, nullptr,
                             nullptr));
    expect(back[0] == 2 && back[count - 1] == 2 * static_cast<int>(count),
           "written from the device's copy");

    to_device();
    MUST(clEnqueueReadBuffer(world_.queue, buffer_, CL_FALSE, 0, bytes / 2, data_ + 10, 0, nullptr,
                             nullptr));
    MUST(clFinish(world_.queue));
    expect(data_[9] == 20 && data_[10] == 2 && data_[11] == 4, "read into the device's copy");
    expect(data_[count - 1] == 2 * static_cast<int>(count), "and the rest kept");
  }

  void rectangles() {
    to_device();
    const size_t at[3] = {0, 0, 0};
    const size_t region[3] = {400, 50, 1};
    MUST(clEnqueueWriteBufferRect(world_.queue, buffer_, CL_FALSE, at, at, region, 400, 0, 800, 0,
                                  data_, 0, nullptr, nullptr));
    to_device();
    MUST(clEnqueueReadBufferRect(world_.queue, buffer_, CL_FALSE, at, at, region, 400, 0, 1200, 0,
                                 data_, 0, nullptr, nullptr));
    MUST(clFinish(world_.queue));
    // Row 1 was taken at byte 800 (word 200: 402) and put at byte 1200.
    expect(data_[300] == 402 && data_[299] == 600, "rectangles");
  }

  void made_from() {
    to_device();
    cl_int status = CL_SUCCESS;
    const cl_mem made = clCreateBuffer(world_.context, CL_MEM_COPY_HOST_PTR, bytes, data_, &status);
    MUST(status);
    int last = 0;
    MUST(
        clEnqueueReadBuffer(world_.queue, made, CL_TRUE, bytes - 4, 4, &last, 0, nullptr, nullptr));
    expect(last == 2 * static_cast<int>(count), "a buffer made from managed memory");
    MUST(clReleaseMemObject(made));
  }

  void by_value() {
    to_device();
    auto* const value = reinterpret_cast<cl_int4*>(data_ + 400);
    MUST(world_.set_pointer(set_, 0, data_ + 50048));
    MUST(clSetKernelArg(set_, 1, sizeof(cl_int4), value));  // 802, 804, 806, 808
    world_.run(set_, 100);
    MUST(clFinish(world_.queue));
    expect(data_[50048] == 1610 && data_[50047] == 2 * 50048, "an argument by value");
  }

  void pattern() {
    to_device();
    MUST(clEnqueueFillBuffer(world_.queue, buffer_, data_ + 4, 4, 0, bytes, 0, nullptr, nullptr));
    int last = 0;
    MUST(clEnqueueReadBuffer(world_.queue, buffer_, CL_TRUE, bytes - 4, 4, &last, 0, nullptr,
                             nullptr));
    expect(last == 10, "a pattern in managed memory");
    to_device();
    MUST(world_.fill(world_.queue, data_, data_ + 4, 4, bytes, 0, nullptr, nullptr));
    MUST(clFinish(world_.queue));
    expect(std::count(data_, data_ + count, 10) == static_cast<long>(count), "filled with its own");
  }

 private:
  const usm::World world_;
  cl_kernel twice_;
  cl_kernel set_;
  cl_mem buffer_ = nullptr;
  int* data_ = nullptr;
};

void try_all(Subject& subject) {
  subject.write_and_read();
  subject.rectangles();
  subject.made_from();
  subject.by_value();
  subject.pattern();
}

bool all_was_tried = false;
void* cancelled(void* subject) {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
  pthread_cancel(pthread_self());
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, nullptr);
  try_all(*static_cast<Subject*>(subject));
  all_was_tried = true;
  pthread_testcancel();
  return nullptr;
}

}  // namespace

int main() {
  Subject subject;
  for (int round = 0; round < 5; ++round) try_all(subject);
  pthread_t thread{};
  void* end = nullptr;
  pthread_create(&thread, nullptr, cancelled, &subject);
  pthread_join(thread, &end);
  if (!all_was_tried || end != PTHREAD_CANCELED) {
    std::fprintf(
        stderr, "%s\n",
        all_was_tried ? "the thread was not cancelled" : "the thread was cancelled inside a call");
    std::_Exit(1);
  }
  std::printf("host pointers: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
