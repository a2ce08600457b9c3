// Buffers over memory of clSVMAlloc (CL_MEM_USE_HOST_PTR, OpenCL 2.0): the bytes are one, by the
// buffer and by the pointer, for kernels, for commands and for the host. Ends with 0 and "SVM
// buffers: PASS".
#include <cstring>

#include "usm.hpp"

namespace {

constexpr int count = 4096;
constexpr std::size_t bytes = count * sizeof(int);

int failures = 0;
void expect(bool truth, const char* what) {
  if (truth) return;
  if (failures++ < 10) std::fprintf(stderr, "%s\n", what);
}

class Subject {
 public:
  explicit Subject(bool by_extension)
      : add_(world_.kernel("kernel void add(global int* p, int n) { p[get_global_id(0)] += n; }",
                           "add")),
        sum_(world_.kernel("kernel void sum(global int* out, global const int* a, "
                           "global const int* b) { *out = a[0] + b[1]; }",
                           "sum")) {
    data_ = by_extension
                ? world_.shared<int>(count)
                : static_cast<int*>(clSVMAlloc(world_.context, CL_MEM_READ_WRITE, bytes, 0));
    expect(data_ != nullptr, "clSVMAlloc");
    buffer_ = make(data_, bytes);
  }
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;
  ~Subject() {
    MUST(clReleaseMemObject(buffer_));
    MUST(clFinish(world_.queue));
    clSVMFree(world_.context, data_);
    clReleaseKernel(add_);
    clReleaseKernel(sum_);
  }

  void by_kernel() {
    reset();
    add(buffer_, 1);
    check(0, 1, "a kernel with the buffer, then the host");
    add(data_, 10);
    add(buffer_, 100);
    check(count - 1, 111, "kernels with the pointer and with the buffer");
    data_[5] += 1000;
    add(buffer_, 1);
    check(5, 1112, "the host between kernels");
    int* const out = data_ + 1024;
    const cl_mem part = this->part(1024, sizeof(int));
    MUST(clSetKernelArg(sum_, 0, sizeof(part), &part));
    MUST(clSetKernelArg(sum_, 1, sizeof(buffer_), &buffer_));
    MUST(world_.set_pointer(sum_, 2, data_));
    world_.run(sum_, 1);
    settle();
    expect(*out == 112 + 113, "a part, the buffer and the pointer in one kernel");
    MUST(clReleaseMemObject(part));
  }

  void by_commands() {
    reset();
    add(buffer_, 7);
    std::vector<int> back(count);
    MUST(clEnqueueReadBuffer(world_.queue, buffer_, CL_TRUE, 4, bytes - 4, back.data(), 0, nullptr,
                             nullptr));
    expect(back[0] == 8 && back[count - 2] == count + 6, "clEnqueueReadBuffer");
    const int two[] = {-1, -2};
    MUST(clEnqueueWriteBuffer(world_.queue, buffer_, CL_TRUE, 8, 8, two, 0, nullptr, nullptr));
    expect(data_[2] == -1 && data_[3] == -2 && data_[4] == 11, "clEnqueueWriteBuffer");
    const int five = 5;
    cl_event filled = nullptr;
    MUST(clEnqueueFillBuffer(world_.queue, buffer_, &five, 4, 16, 32, 0, nullptr, &filled));
    cl_command_type type = 0;
    MUST(clGetEventInfo(filled, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, nullptr));
    expect(type == CL_COMMAND_FILL_BUFFER, "the type of a fill's event");
    MUST(clReleaseEvent(filled));
    settle();
    expect(data_[3] == -2 && data_[4] == 5 && data_[11] == 5 && data_[12] == 19, "a fill");
    cl_int status = CL_SUCCESS;
    const cl_mem other = clCreateBuffer(world_.context, CL_MEM_READ_WRITE, bytes, nullptr, &status);
    MUST(status);
    add(buffer_, 1);
    MUST(clEnqueueCopyBuffer(world_.queue, buffer_, other, 0, 128, 64, 0, nullptr, nullptr));
    MUST(clEnqueueCopyBuffer(world_.queue, other, buffer_, 128, 1024, 64, 0, nullptr, nullptr));
    settle();
    expect(data_[256] == 8 && data_[256 + 2] == 0 && data_[256 + 15] == 23, "copies of buffers");
    MUST(clReleaseMemObject(other));
    // Between the buffer and managed memory: here its own allocation.
    MUST(clEnqueueReadBuffer(world_.queue, buffer_, CL_TRUE, 0, 64, data_ + 512, 0, nullptr,
                             nullptr));
    expect(data_[512] == 8 && data_[513] == 9, "read into the same allocation");
  }

  void rectangles() {
    reset();
    add(buffer_, 1);
    const size_t from[3] = {4, 1, 0};
    const size_t to[3] = {0, 0, 0};
    const size_t region[3] = {8, 2, 1};
    int back[4] = {};
    MUST(clEnqueueReadBufferRect(world_.queue, buffer_, CL_TRUE, from, to, region, 64, 0, 8, 0,
                                 back, 0, nullptr, nullptr));
    expect(back[0] == 18 && back[1] == 19 && back[2] == 34, "a rectangle read");
    MUST(clEnqueueWriteBufferRect(world_.queue, buffer_, CL_TRUE, to, to, region, 64, 0, 8, 0, back,
                                  0, nullptr, nullptr));
    expect(data_[0] == 18 && data_[16] == 34 && data_[17] == 35, "a rectangle written");
  }

  void maps() {
    reset();
    add(buffer_, 3);
    cl_int status = CL_SUCCESS;
    auto* const mapped = static_cast<int*>(
        clEnqueueMapBuffer(world_.queue, buffer_, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 40,
                           bytes - 40, 0, nullptr, nullptr, &status));
    MUST(status);
    expect(mapped == data_ + 10, "a map is the pointer");
    expect(mapped[0] == 13, "what is mapped");
    mapped[0] = 1000;
    MUST(clEnqueueUnmapMemObject(world_.queue, buffer_, mapped, 0, nullptr, nullptr));
    add(buffer_, 1);
    check(10, 991, "stores to what was mapped");
    const cl_mem both[] = {buffer_};
    MUST(clEnqueueMigrateMemObjects(world_.queue, 1, both, 0, 0, nullptr, nullptr));
    MUST(clFinish(world_.queue));
    check(11, 4, "migrated");
  }

  void parts() {
    reset();
    const cl_mem part = this->part(1024, 512);
    add(part, 9, 128);
    settle();
    expect(data_[1023] == 1023 && data_[1024] == 1033 && data_[1151] == 1160 && data_[1152] == 1152,
           "a kernel with a part");
    const auto told = [](cl_mem of, cl_mem_info name) {
      std::size_t value = 0;
      MUST(clGetMemObjectInfo(of, name, sizeof(value), &value, nullptr));
      return value;
    };
    expect(told(part, CL_MEM_OFFSET) == 4096, "a part's offset");
    expect(told(part, CL_MEM_SIZE) == 512, "a part's size");
    expect(told(part, CL_MEM_ASSOCIATED_MEMOBJECT) == reinterpret_cast<std::size_t>(buffer_),
           "a part's parent");
    expect(told(buffer_, CL_MEM_HOST_PTR) == reinterpret_cast<std::size_t>(data_), "the pointer");
    expect(told(buffer_, CL_MEM_SIZE) == bytes, "the size");
    cl_bool svm = CL_FALSE;
    MUST(clGetMemObjectInfo(buffer_, CL_MEM_USES_SVM_POINTER, sizeof(svm), &svm, nullptr));
    expect(svm == CL_TRUE, "CL_MEM_USES_SVM_POINTER");
    MUST(clReleaseMemObject(part));
  }

  void mistakes() {
    cl_int status = CL_SUCCESS;
    const cl_mem larger =
        clCreateBuffer(world_.context, CL_MEM_USE_HOST_PTR, bytes, data_ + 1024, &status);
    // PoCL looks at nothing.
    expect(world_.shares_at_once() || (larger == nullptr && status == CL_INVALID_BUFFER_SIZE),
           "a buffer that is larger than its memory");
    if (larger != nullptr) MUST(clReleaseMemObject(larger));
  }

 private:
  [[nodiscard]] cl_mem make(void* pointer, std::size_t size) const {
    cl_int status = CL_SUCCESS;
    const cl_mem made = clCreateBuffer(world_.context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR,
                                       size, pointer, &status);
    MUST(status);
    return made;
  }
  [[nodiscard]] cl_mem part(std::size_t first, std::size_t size) const {
    const cl_buffer_region region{first * sizeof(int), size};
    cl_int status = CL_SUCCESS;
    const cl_mem made =
        clCreateSubBuffer(buffer_, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
    MUST(status);
    return made;
  }
  // Where host and device share memory, the program waits.
  void settle() const {
    if (world_.shares_at_once()) MUST(clFinish(world_.queue));
  }
  void reset() {
    MUST(clFinish(world_.queue));
    for (int i = 0; i < count; ++i) data_[i] = i;
  }
  void add(cl_mem buffer, int n, std::size_t items = count) {
    MUST(clSetKernelArg(add_, 0, sizeof(buffer), &buffer));
    MUST(clSetKernelArg(add_, 1, sizeof(n), &n));
    world_.run(add_, items);
    settle();
  }
  void add(int* pointer, int n) {
    MUST(world_.set_pointer(add_, 0, pointer));
    MUST(clSetKernelArg(add_, 1, sizeof(n), &n));
    world_.run(add_, count);
    settle();
  }
  void check(int i, int added, const char* what) const { expect(data_[i] == i + added, what); }

  const usm::World world_;
  cl_kernel add_;
  cl_kernel sum_;
  int* data_ = nullptr;
  cl_mem buffer_ = nullptr;
};

}  // namespace

int main() {
  for (const bool by_extension : {false, true}) {
    Subject subject(by_extension);
    for (int round = 0; round < 3; ++round) {
      subject.by_kernel();
      subject.by_commands();
      subject.rectangles();
      subject.maps();
      subject.parts();
      subject.mistakes();
    }
  }
  std::printf("SVM buffers: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
