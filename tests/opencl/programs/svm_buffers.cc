// Buffers over memory of clSVMAlloc (CL_MEM_USE_HOST_PTR, OpenCL 2.0): the bytes are one, by the
// buffer and by the pointer, for kernels, for commands and for the host. Ends with 0 and "SVM
// buffers: PASS".
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

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
    expect(clEnqueueUnmapMemObject(world_.queue, buffer_, mapped + 1, 0, nullptr, nullptr) ==
               CL_INVALID_VALUE,
           "no map is there");
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

  // Reads and writes whose host memory is the buffer's own move nothing and keep their turn.
  void in_place() {
    reset();
    const cl_event gate = user_event();
    MUST(clSetKernelArg(add_, 0, sizeof(buffer_), &buffer_));
    const int five = 5;
    MUST(clSetKernelArg(add_, 1, sizeof(five), &five));
    const std::size_t items = count;
    MUST(
        clEnqueueNDRangeKernel(world_.queue, add_, 1, nullptr, &items, nullptr, 1, &gate, nullptr));
    cl_event read = nullptr;
    MUST(
        clEnqueueReadBuffer(world_.queue, buffer_, CL_FALSE, 16, 64, data_ + 4, 0, nullptr, &read));
    expect(!is_complete(read), "a read in place that is done before its turn");
    expect(type_of(read) == CL_COMMAND_READ_BUFFER, "the type of a read in place");
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    MUST(clWaitForEvents(1, &read));
    check(4, 5, "what was read in place");
    MUST(clReleaseEvent(read));
    MUST(clReleaseEvent(gate));
    data_[9] = -9;
    MUST(clEnqueueWriteBuffer(world_.queue, buffer_, CL_TRUE, 32, 16, data_ + 8, 0, nullptr,
                              nullptr));
    const size_t at[3] = {8, 1, 0};
    const size_t region[3] = {8, 3, 1};
    MUST(clEnqueueReadBufferRect(world_.queue, buffer_, CL_TRUE, at, at, region, 64, 0, 64, 0,
                                 data_, 0, nullptr, nullptr));
    MUST(clEnqueueWriteBufferRect(world_.queue, buffer_, CL_TRUE, at, at, region, 64, 0, 64, 0,
                                  data_, 0, nullptr, nullptr));
    expect(data_[9] == -9 && data_[18] == 23 && data_[50] == 55, "what was written in place");
    const cl_mem part = this->part(1024, 512);
    MUST(clEnqueueReadBuffer(world_.queue, part, CL_TRUE, 4, 8, data_ + 1025, 0, nullptr, nullptr));
    MUST(clReleaseMemObject(part));
    check(1025, 5, "what a part read in place");
  }

  // CL_MEM_HOST_*: what commands may do, and what parts inherit.
  void access_by_the_host() {
    struct Kind {
      cl_mem_flags flag;
      bool reads, writes;
    };
    for (const Kind& kind :
         {Kind{CL_MEM_HOST_NO_ACCESS, false, false}, Kind{CL_MEM_HOST_READ_ONLY, true, false},
          Kind{CL_MEM_HOST_WRITE_ONLY, false, true}}) {
      const cl_mem whole = make(data_, bytes, kind.flag);
      const cl_buffer_region region{1024, 1024};
      cl_int status = CL_SUCCESS;
      const cl_mem part =
          clCreateSubBuffer(whole, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
      MUST(status);
      // PoCL's own parts inherit nothing.
      access_by_the_host(whole, kind.reads, kind.writes);
      if (!world_.shares_at_once()) access_by_the_host(part, kind.reads, kind.writes);
      const cl_mem_flags wider =
          kind.flag == CL_MEM_HOST_READ_ONLY ? CL_MEM_HOST_WRITE_ONLY : CL_MEM_HOST_READ_ONLY;
      const cl_mem more =
          clCreateSubBuffer(whole, wider, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
      expect(more == nullptr && status == CL_INVALID_VALUE, "a part with more access");
      MUST(clReleaseMemObject(part));
      MUST(clReleaseMemObject(whole));
    }
    cl_int status = CL_SUCCESS;
    const cl_mem both = clCreateBuffer(
        world_.context, CL_MEM_USE_HOST_PTR | CL_MEM_HOST_READ_ONLY | CL_MEM_HOST_NO_ACCESS, bytes,
        data_, &status);
    expect(both == nullptr && status == CL_INVALID_VALUE, "flags that exclude each other");
  }

  // As many maps are taken back as were made, by however many threads.
  void maps_of_threads() {
    if (world_.shares_at_once()) return;  // the driver's own
    void* mapped = nullptr;
    std::atomic<int> good{0};
    std::atomic<int> turn{0};  // odd: unmap; even: map again
    std::atomic<int> done{0};
    constexpr int rounds = 100;
    const auto unmap = [&] {
      for (int round = 0; round < rounds; ++round) {
        while (turn != 2 * round + 1) std::this_thread::yield();
        good += clEnqueueUnmapMemObject(world_.queue, buffer_, mapped, 0, nullptr, nullptr) ==
                CL_SUCCESS;
        ++done;
      }
    };
    std::thread others[] = {std::thread(unmap), std::thread(unmap), std::thread(unmap)};
    for (int round = 0; round < rounds; ++round) {
      cl_int status = CL_SUCCESS;
      mapped = clEnqueueMapBuffer(world_.queue, buffer_, CL_TRUE, CL_MAP_READ, 0, bytes, 0, nullptr,
                                  nullptr, &status);
      MUST(status);
      good = done = 0;
      ++turn;
      while (done != 3) std::this_thread::yield();
      cl_uint left = 1;
      MUST(clGetMemObjectInfo(buffer_, CL_MEM_MAP_COUNT, sizeof(left), &left, nullptr));
      expect(good == 1 && left == 0, "a map that is taken back twice");
      ++turn;
    }
    for (std::thread& other : others) other.join();
  }

  // Commands whose events nobody wants leave nothing behind that another event could be taken for.
  void events_of_others() {
    std::vector<cl_event> made;
    for (int i = 0; i < 50; ++i) {
      cl_int status = CL_SUCCESS;
      void* const mapped = clEnqueueMapBuffer(world_.queue, buffer_, CL_TRUE, CL_MAP_READ, 0, bytes,
                                              0, nullptr, nullptr, &status);
      MUST(status);
      MUST(clEnqueueUnmapMemObject(world_.queue, buffer_, mapped, 0, nullptr, nullptr));
      MUST(clFinish(world_.queue));
      made.push_back(user_event());
      expect(type_of(made.back()) == CL_COMMAND_USER, "the type of a program's event");
      MUST(clSetUserEventStatus(made.back(), CL_COMPLETE));
    }
    for (cl_event one : made) MUST(clReleaseEvent(one));
  }

  // The event of a migration stands for every object, also for the driver's own.
  void migrated_with_others() {
    if (world_.shares_at_once()) return;
    cl_int status = CL_SUCCESS;
    const cl_mem other = clCreateBuffer(world_.context, CL_MEM_READ_WRITE, bytes, nullptr, &status);
    MUST(status);
    const cl_event gate = user_event();
    MUST(clEnqueueMarkerWithWaitList(world_.queue, 1, &gate, nullptr));
    const cl_mem both[] = {buffer_, other};
    cl_event moved = nullptr;
    MUST(clEnqueueMigrateMemObjects(world_.queue, 2, both, 0, 0, nullptr, &moved));
    MUST(clFlush(world_.queue));
    // The driver's waits in its queue. What is limited is how long a mistake has to show.
    for (int i = 0; i < 20 && !is_complete(moved); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    expect(!is_complete(moved), "a migration that is done before the driver's part of it");
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    MUST(clWaitForEvents(1, &moved));
    for (cl_event one : {gate, moved}) MUST(clReleaseEvent(one));
    MUST(clReleaseMemObject(other));
  }

  // A kernel with a buffer uses those bytes alone: the host goes on with the rest meanwhile.
  void rest_of_an_allocation() {
    constexpr std::size_t large = std::size_t{8} << 20;
    auto* const all = world_.shared<int>(large / sizeof(int));
    all[large / sizeof(int) - 1] = 7;
    const cl_mem first = make(all, bytes);
    const cl_event gate = user_event();
    MUST(clSetKernelArg(add_, 0, sizeof(first), &first));
    const std::size_t items = count;
    MUST(
        clEnqueueNDRangeKernel(world_.queue, add_, 1, nullptr, &items, nullptr, 1, &gate, nullptr));
    std::atomic<int> seen{0};
    std::thread reader([&] { seen = all[large / sizeof(int) - 1]; });
    for (int i = 0; i < 2000 && seen == 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    expect(seen == 7, "the host waits for a kernel that does not use these bytes");
    MUST(clSetUserEventStatus(gate, CL_COMPLETE));
    reader.join();
    MUST(clFinish(world_.queue));
    MUST(clReleaseEvent(gate));
    MUST(clReleaseMemObject(first));
    MUST(world_.free(world_.context, all));
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
  // Reads, writes and maps of it.
  void access_by_the_host(cl_mem buffer, bool reads, bool writes) const {
    const auto as_it_should = [](cl_int status, bool may) {
      return status == (may ? CL_SUCCESS : CL_INVALID_OPERATION);
    };
    int word = 0;
    expect(as_it_should(clEnqueueReadBuffer(world_.queue, buffer, CL_TRUE, 0, sizeof(word), &word,
                                            0, nullptr, nullptr),
                        reads),
           "a read of a buffer with limited access");
    expect(as_it_should(clEnqueueWriteBuffer(world_.queue, buffer, CL_TRUE, 0, sizeof(word), &word,
                                             0, nullptr, nullptr),
                        writes),
           "a write of a buffer with limited access");
    const size_t at[3] = {};
    const size_t region[3] = {4, 1, 1};
    expect(as_it_should(clEnqueueReadBufferRect(world_.queue, buffer, CL_TRUE, at, at, region, 0, 0,
                                                0, 0, &word, 0, nullptr, nullptr),
                        reads),
           "a rectangle of a buffer with limited access");
    for (const cl_map_flags flag : {CL_MAP_READ, CL_MAP_WRITE}) {
      cl_int status = CL_SUCCESS;
      void* const mapped = clEnqueueMapBuffer(world_.queue, buffer, CL_TRUE, flag, 0, 4, 0, nullptr,
                                              nullptr, &status);
      expect(as_it_should(status, flag == CL_MAP_READ ? reads : writes),
             "a map of a buffer with limited access");
      if (mapped != nullptr)
        MUST(clEnqueueUnmapMemObject(world_.queue, buffer, mapped, 0, nullptr, nullptr));
    }
  }

  [[nodiscard]] cl_event user_event() const {
    cl_int status = CL_SUCCESS;
    const cl_event made = clCreateUserEvent(world_.context, &status);
    MUST(status);
    return made;
  }
  [[nodiscard]] static bool is_complete(cl_event event) {
    cl_int status = CL_QUEUED;
    MUST(
        clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof(status), &status, nullptr));
    return status <= CL_COMPLETE;
  }
  [[nodiscard]] static cl_command_type type_of(cl_event event) {
    cl_command_type type = 0;
    MUST(clGetEventInfo(event, CL_EVENT_COMMAND_TYPE, sizeof(type), &type, nullptr));
    return type;
  }
  [[nodiscard]] cl_mem make(void* pointer, std::size_t size, cl_mem_flags flags = 0) const {
    cl_int status = CL_SUCCESS;
    const cl_mem made = clCreateBuffer(
        world_.context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR | flags, size, pointer, &status);
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
      subject.in_place();
    }
    subject.access_by_the_host();
    subject.maps_of_threads();
    subject.events_of_others();
    subject.migrated_with_others();
    subject.rest_of_an_allocation();
  }
  std::printf("SVM buffers: %s\n", failures == 0 ? "PASS" : "FAIL");
  return failures == 0 ? 0 : 1;
}
